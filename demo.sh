#!/usr/bin/env bash
# The whole road on a small synthetic data set and a real pair of Landsat scenes: demo.sh TRANSECT FOLDER
set -euo pipefail
transect=$1
samples=$(cd "$(dirname "$0")" && pwd)/samples/landsat5_2000_2010
settings=$(cd "$(dirname "$0")" && pwd)/apps/change_detection/demo.yaml
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

say "4. Evaluate it on the test split, which training never saw"
"$transect" evaluate models:/change-demo@champion --data pairs --out evaluation

say "5. Find changes in the held-out pairs"
"$transect" predict models:/change-demo@champion pairs/test --out predictions

say "6. Find changes between two Landsat 5 scenes of 2000 and 2010"
"$transect" predict models:/change-demo@champion "$samples" --out landsat --write_score true

case=$(find "$PWD/landsat" -name mask.tif -printf '%h\n')
say "Done. Look at"
cat <<EOT
change mask (GeoTIFF)      $case/mask.tif
polygons (GeoPackage)      $case/changes.gpkg
report, Landsat pair       $PWD/landsat/report.html
report, evaluation         $PWD/evaluation/report.html
MLflow                     cd $PWD && $transect ui    then open http://127.0.0.1:5000
EOT
