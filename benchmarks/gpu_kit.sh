#!/usr/bin/env bash
# All checks that need a GPU, on a machine without a network that has torch 2.11 or later,
# torchvision, timm, numpy and pytest: the tests of tests/gpu, then benchmarks/gpu.py.
#
#   benchmarks/gpu_kit.sh gather [PYTHON]   with a network: download the wheels of the other, small
#                                           packages to .gpu_kit (at most 50 MiB), for a Python
#                                           version such as 3.12 (default: the current one)
#   benchmarks/gpu_kit.sh run [OPTIONS]     on the GPU machine: run everything; OPTIONS are those of
#                                           gpu.py; `--tiny --device cpu` tries it without a GPU
set -euo pipefail
cd "$(dirname "$0")/.."
wheels=.gpu_kit
packages=(
  av mmaction2==1.2.0 onedl-mmengine onedl-mmcv addict yapf termcolor lazy_importer
  importlib_metadata zipp platformdirs einops rich pygments markdown-it-py mdurl
  pydantic pydantic_core annotated-types typing-inspection typing_extensions
)

gather() {
  local version=${1:-$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')}
  rm -rf "$wheels" && mkdir "$wheels"
  local platforms=()
  for glibc in 5 12 17 24 27 28 31 34; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
  platforms+=(--platform manylinux2014_x86_64 --platform manylinux1_x86_64)
  for package in "${packages[@]}"; do
    python3 -m pip download --quiet --no-deps --only-binary=:all: --implementation cp \
      --python-version "$version" "${platforms[@]}" --dest "$wheels" "$package" 2>/dev/null ||
      python3 -m pip wheel --quiet --no-deps --wheel-dir "$wheels" "$package"
  done
  local size
  size=$(du --bytes --summarize "$wheels" | cut -f 1)
  echo "$wheels: $(find "$wheels" -name '*.whl' | wc -l) wheels, $((size / 1048576)) MiB"
  ((size <= 50 * 1048576)) || { echo "gpu_kit: more than 50 MiB" >&2; exit 1; }
}

run() {
  local device=cuda several=()
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  [[ " $* " == *" --device cpu "* ]] && device=cpu
  python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl
  export PYTHONPATH="$PWD/benchmarks/gpu_kit:$site:$PWD" AUTOX_VIDEO_GPU_TESTS=$device
  if [[ $device == cuda ]] && python3 -c 'import xdist' 2>/dev/null; then several=(-n 4); fi
  # Without the project's own options, which need pytest-xdist; and the table comes in any case.
  local code=0
  timeout 240 python3 -m pytest --override-ini addopts= -q "${several[@]}" tests/gpu || code=$?
  python3 benchmarks/gpu.py "$@" || code=$?
  return $code
}

case ${1:-} in
  gather) gather "${@:2}" ;;
  run) run "${@:2}" ;;
  *) sed -n '2,10p' "$0"; exit 2 ;;
esac
