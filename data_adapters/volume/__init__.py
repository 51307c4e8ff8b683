"""Medical volumes for several apps: NIfTI, DICOM series, DICOM SEG and RTSTRUCT, in and out.

- `volume`: `Volume(values, grid, name, modality, facts, warnings, header, slices)` on a
  `Grid(shape, affine, positions)` with `spacing`, `voxel_volume`, `orientation`, `world(index)`,
  `index(world)`, `matches(other)`.
- `resample`: `reorient(values, grid, "RAS")`, `with_spacing(grid, spacing)`, `resample(values, source, target, order)`.
- `nifti`: `read_nifti(path, index) -> Volume`, `read_grid(path) -> Grid`, `write_nifti(path, values, volume)`.
- `dicom_slices`: `scan(folder) -> Scan(images, objects, others)` with `slices`, `skipped`;
  `dicom_stacks`: `stacks_of(slices) -> [Stack]`;
  `dicom_series`: `choose(stacks, Preference(modalities, series, prefer)) -> Stack, left_out`,
  `read_stack(stack) -> Volume`.
- `dicom_seg`: `write_seg(path, mask, volume, source, segments)`, `read_seg(path, volume) -> {label: mask}`.
- `rtstruct`: `write_rtstruct(path, mask, volume, source, name)`, `read_rtstruct(path, volume, roi) -> Contours`.
- `facts`: `volume_facts(volume)`, `omitted(left_out, skipped)`, for `transect check`.
- `masks`: `components(mask) -> Components(box, labels, sizes)`, `bounding_box(mask)`.
- `identity`: `Identity(name, values)` with `shown(path)`, `clean(text)`, `hidden()`; `case.identity` has it.
- `config`: `VolumeConfig(series, label, channel, index, ids)`, the settings under `read`.
- `layouts`: `find_volumes(*inputs, config) -> [VolumeCase]`; `cases`: `read_case(case, preference, config, label) ->
  LabelledVolume(volume, read_label, left_out, skipped)`, whose `label` is read when it is asked for.
- `phantom`: `abdomen(rng, size, spacing)`, `write_nnunet(root, count, seed)`, `write_series(folder, volume, ...)`.
"""
