#!/usr/bin/env bash
# The main job, command after command: checkpoint -> Fisher information -> schedule -> a uniform and a guided arm ->
# surfaces of both under three masks, on one plane and one colour scale -> stability of the ranking.
#
#   analyses/walkthrough.sh [OUT]                                   the small checkpoint of the tests, in a few seconds
#   analyses/walkthrough.sh OUT CHECKPOINT --task rte --data DIR   a real one; --table FILE --columns text,label too
#
# Settings from the environment: SEED, EPOCHS, LR, EXAMPLES (of the frozen sets), RESOLUTION.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
if [[ $# -gt 2 ]]; then
  out=$1 checkpoint=$2
  shift 2
  data=("$@")
else
  cd "$here"
  out=${1:-walkthrough} checkpoint=tests/fixtures/tiny/model
  data=(--table tests/fixtures/tiny/sentiment.tsv --columns sentence,label)
  EPOCHS=${EPOCHS:-6} LR=${LR:-2e-3} # random weights need more than fine-tuning does
fi
seed=${SEED:-0}
cargo build --release --quiet --manifest-path "$here/Cargo.toml"
run() { echo "+ fisherscape $*" >&2; "$here/target/release/fisherscape" "$@"; }

train() { # ARM DROPOUT
  local split=()
  [[ ${data[0]} == --task ]] && split=(--split official)
  run train --checkpoint "$checkpoint" "${data[@]}" "${split[@]}" --dropout "$2" --epochs "${EPOCHS:-3}" \
    --lr "${LR:-1e-4}" --seed "$seed" --out "$out/$1"
}

# Uniform at the mean rate of guided: the arms differ in where they drop, not in how much.
train uniform uniform:0.05

# Fisher information of the checkpoint that both arms start from, on examples that both are trained on.
run fisher --checkpoint "$checkpoint" --set "$out/uniform/train.safetensors" --per-example --seed "$seed" \
  --out "$out/fisher.safetensors"
run schedule --fisher "$out/fisher.safetensors" --out "$out/rates.csv"
run stability --fisher "$out/fisher.safetensors" --fractions 0.01,0.02,0.05,0.1 --repeats 10 --seed "$seed" \
  --out "$out/stability"
train guided "guided:$out/rates.csv"

# The arms are compared on examples that both were trained on, and on examples that neither was.
if [[ ${data[0]} == --task ]]; then
  for split in train dev; do
    run freeze --checkpoint "$checkpoint" "${data[@]}" --split $split --examples "${EXAMPLES:-128}" --seed "$seed" \
      --out "$out/$split.safetensors"
  done
  trained=$out/train.safetensors held_out=$out/dev.safetensors
else
  trained=$out/uniform/train.safetensors held_out=$out/uniform/held_out.safetensors
fi

# One plane and one mask for both arms: directions and Fisher information of the checkpoint they started from.
surfaces() { # NAME SET
  local options=(--set "$2" --fisher "$out/fisher.safetensors" --norm matched --seed "$seed") figures=() titles=
  mkdir -p "$out/$1"
  run surface "${options[@]}" --checkpoint "$checkpoint" --save-directions "$out/plane.safetensors" --resolution 3 \
    --out "$out/$1/start.csv"
  for arm in uniform guided; do
    for mask in all top:0.01 random:0.01; do
      figures+=("$out/$1/${arm}_${mask%%:*}.csv")
      titles+=${titles:+,}"$arm: ${mask/:0.01/ 1 %}"
      run surface "${options[@]}" --checkpoint "$out/$arm" --directions "$out/plane.safetensors" --mask "$mask" \
        --resolution "${RESOLUTION:-9}" --out "${figures[-1]}"
    done
  done
  run render "${figures[@]}" --titles "$titles" --dots --out "$out/$1/surfaces.svg"
  run render "${figures[@]}" --titles "$titles" --dots --out "$out/$1/surfaces.png"
}
surfaces trained "$trained"
surfaces held_out "$held_out"
