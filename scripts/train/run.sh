#!/usr/bin/env bash
# Makes the model end to end: word table, tokenizer, training, GGUF files, scores. Run from the repository root.
#   scripts/train/run.sh OUT [SECONDS] [train.py options]
# Needs one GPU for the real thing; the packages of requirements.txt; WordNet's files only where the word table is missing.
set -euo pipefail
out=${1:?usage: scripts/train/run.sh OUT [SECONDS] [train.py options]}
seconds=${2:-420}
shift $(($# < 2 ? $# : 2))
here=scripts/train
python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false
mkdir -p "$out" .train
exec > >(tee "$out/train.log") 2>&1

[ -f .train/tables.json.gz ] || "$python" $here/build_tables.py --out .train/tables.json.gz
[ -f $here/held_out.json ] || "$python" $here/held_out.py --tables .train/tables.json.gz
[ -f .train/tokenizer.json ] || "$python" $here/tokenizer.py --out .train/tokenizer.json
"$python" -c "import torch; print(torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name())"
"$python" $here/train.py --seconds "$seconds" --out .train/model.pt "$@"
"$python" $here/export.py --model .train/model.pt --out "$out"
cp .train/tokenizer.json .train/resume.pt "$out"
"$python" $here/score.py --model .train/model.pt --out "$out/samples.txt" ${SCORE_OPTIONS:-}
echo "done after $SECONDS s"
