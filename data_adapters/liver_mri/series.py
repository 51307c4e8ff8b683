"""Which series of an abdominal study the liver is segmented in."""

from transect.data_adapters.volume.dicom_series import Preference

NO_ANATOMY = (
    "dwi|e?adc|diff|trace|b-?val|mrcp|cholangio|map(?![a-z])|t[12]-?map|t2\\*|t2.?star|r2\\*|r2.?star|iron|fat.?frac"
    "|pdff|elasto|mre(?![a-z])|stiffness|spectro|sub(?![a-z])|subtr|phase.?contrast|flow|cine|opp|out(?![a-z])|outphase"
    "|fat(?![a-z]|.?s(at|up))|f(?![a-z0-9.])|cor(?![a-z])|coronal|sag(?![a-z])|sagittal"
)
"""Words of series that do not show anatomy by its usual contrast, or not in axial slices."""

LIVER_MR = Preference(
    modalities=("MR",),
    covers=100.0,
    prefer=tuple(
        rf"^(?!.*(?<![a-z])({NO_ANATOMY})).*(?<![a-z])({wanted})"
        for wanted in (
            "hepatobil|hbp|portal|pv(?![a-z])|ven(ous)?(?![a-z])",
            "t1(?![0-9])|vibe|lava|thrive|flash|f?spgr|dixon",
            "t2(?![0-9])|haste|ssfse|blade|propeller|[tf]se(?![a-z])",
            "",
        )
    ),
)
"""T1-weighted images before T2-weighted ones, and those of the portal venous and hepatobiliary phase first: the order
in which they are used to measure livers. Diffusion, maps, opposed-phase and fat images, subtractions, coronal and
sagittal series are taken only where there is nothing else."""
