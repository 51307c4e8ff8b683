"""De novo candidates as paths through the spectrum graph of prefix masses (Dancik et al., 1999)."""
