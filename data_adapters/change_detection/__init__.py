"""Bi-temporal image pairs for change detection: read from the layouts of public data sets, written as GIS files."""

import os

os.environ.setdefault("CPL_LOG", os.devnull)  # its "ERROR 1: ..." on stderr is raised as an exception too
