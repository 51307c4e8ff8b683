#!/usr/bin/env bash
# End-to-end demo of all apps: change detection on synthetic pairs and a real pair of Landsat scenes, an equation,
# peptides, the liver in synthetic MRI, tumours in synthetic PET/CT, and maps of synthetic drives.
# Usage: demo.sh TRANSECT FOLDER
set -euo pipefail
transect=$1
samples=$(cd "$(dirname "$0")" && pwd)/samples/landsat5_2000_2010
settings=$(cd "$(dirname "$0")" && pwd)/apps/change_detection/demo.yaml
liver=$(cd "$(dirname "$0")" && pwd)/apps/liver_mri/demo.yaml
tumour=$(cd "$(dirname "$0")" && pwd)/apps/petct/demo.yaml
drives=$(cd "$(dirname "$0")" && pwd)/apps/bev/demo.yaml
equation=$(cd "$(dirname "$0")" && pwd)/apps/pde/demo.yaml
rm -rf "$2" && mkdir -p "$2" && cd "$2"
export MLFLOW_TRACKING_URI=sqlite:///mlflow.db

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1. Write synthetic pairs in the layout of LEVIR-CD"
"$transect" phantom change_detection --out pairs --count 120 --seed 1

say "2. Train a small model"
"$transect" train change_detection --data pairs --config "$settings" | tee trained.txt
run=$(awk '$1 == "run" { print $2 }' trained.txt)

say "3. Register it"
"$transect" register "$run" --name change-demo --alias champion

say "4. Evaluate it on the held-out test split"
"$transect" evaluate models:/change-demo@champion --data pairs --out evaluation

say "5. Detect changes in the test pairs"
"$transect" predict models:/change-demo@champion pairs/test --out predictions

say "6. Detect changes between two Landsat 5 scenes of 2000 and 2010, without training"
"$transect" predict change_detection "$samples" --out landsat --model.name irmad --write_score true

say "7. Write exact solutions of an advection-diffusion equation, train a neural operator on them and evaluate it"
"$transect" phantom pde --out simulations --count 40
"$transect" train pde --data simulations --config "$equation" | tee trained-pde.txt
run=$(awk '$1 == "run" { print $2 }' trained-pde.txt)
"$transect" register "$run" --name pde-demo --alias champion
"$transect" evaluate models:/pde-demo@champion --data simulations --out evaluation-pde

say "8. Roll out one of them beyond the end of the simulation"
"$transect" predict models:/pde-demo@champion "$(find simulations/test -name '*.hdf5' | sort | head -1)" \
    --out rollout --start last --steps 40

say "9. Write runs of spectra with candidates of four tools, train a reranker on them and evaluate it"
"$transect" phantom peptide --out runs --count 12
"$transect" train peptide --data runs --train.epochs 3 --train.batch_size 32 | tee trained-peptide.txt
run=$(awk '$1 == "run" { print $2 }' trained-peptide.txt)
"$transect" register "$run" --name peptide-demo --alias champion
"$transect" evaluate models:/peptide-demo@champion --data runs --out evaluation-peptide

say "10. Identify the peptides of a run"
"$transect" predict models:/peptide-demo@champion "$(find "$PWD/runs/test" -name '*.mgf' | sort | head -1)" \
    "$(find "$PWD/runs/test" -name '*.casanovo.mztab' | sort | head -1)" --out peptides

say "11. Write synthetic abdomens, train a network to segment the liver and evaluate it"
"$transect" phantom liver_mri --out abdomens --count 14
"$transect" train liver_mri --data abdomens --config "$liver" | tee trained-liver.txt
run=$(awk '$1 == "run" { print $2 }' trained-liver.txt)
"$transect" register "$run" --name liver-demo --alias champion
"$transect" evaluate models:/liver-demo@champion --data abdomens --out evaluation-liver

say "12. Segment the liver in a DICOM study"
"$transect" phantom liver_mri --out study --count 1 --phantom.format dicom
"$transect" predict models:/liver-demo@champion study --out livers

say "13. Write synthetic PET/CT studies, train a network to find slices with tumour and evaluate it"
"$transect" phantom petct --out bodies --count 24
"$transect" train petct --data bodies --config "$tumour" | tee trained-petct.txt
run=$(awk '$1 == "run" { print $2 }' trained-petct.txt)
"$transect" register "$run" --name petct-demo --alias champion
"$transect" evaluate models:/petct-demo@champion --data bodies --out evaluation-petct

say "14. Find the slices with tumour of a DICOM study"
"$transect" phantom petct --out scan --count 1 --seed 1 --phantom.format dicom
"$transect" predict models:/petct-demo@champion scan --out tumours

say "15. Write synthetic drives, train a network to draw bird's-eye-view maps and evaluate it, also with two cameras less"
"$transect" phantom bev --out drives --count 40 --phantom.height 64 --phantom.width 112
"$transect" train bev --data drives --config "$drives" | tee trained-bev.txt
run=$(awk '$1 == "run" { print $2 }' trained-bev.txt)
"$transect" register "$run" --name bev-demo --alias champion
"$transect" evaluate models:/bev-demo@champion --data drives --out evaluation-bev
"$transect" evaluate models:/bev-demo@champion --data drives --out evaluation-bev-4 --faults.missing 2

say "16. See how the cameras of a drive were read, and draw its maps"
"$transect" phantom bev --out drive --count 1 --seed 1 --phantom.samples 6
"$transect" check bev drive --out checked-drive | tail -1
"$transect" predict models:/bev-demo@champion drive --out maps

case=$(find "$PWD/landsat" -name mask.tif -printf '%h\n')
say "Done. Results:"
cat <<EOT
change mask (GeoTIFF)      $case/mask.tif
polygons (GeoPackage)      $case/changes.gpkg
report, Landsat pair       $PWD/landsat/report.html
report, evaluation         $PWD/evaluation/report.html
rollout (NetCDF)           $(find "$PWD/rollout" -name rollout.nc)
report, equation           $PWD/evaluation-pde/report.html
peptides (mzTab)           $(find "$PWD/peptides" -name results.mztab)
report, peptides           $PWD/evaluation-peptide/report.html
liver (DICOM SEG)          $(find "$PWD/livers" -name liver.seg.dcm)
report, liver              $PWD/evaluation-liver/report.html
slices with tumour (CSV)   $(find "$PWD/tumours" -name slices.csv)
report, PET/CT             $PWD/evaluation-petct/report.html
film of a drive (VP9)      $(find "$PWD/maps" -name drive.mp4)
report, drives             $PWD/evaluation-bev/report.html
MLflow                     cd $PWD && $transect ui    then open http://127.0.0.1:5000
EOT
