#!/bin/sh
# Makes the Python environment ../.venv with exactly the pinned packages. Does nothing for what is there already.
# Each argument adds a list of requirements/: "finetune" is what training language models and neural networks needs, "lightning" what the tests of the
# callback for Lightning need besides.
set -eu
cd "$(dirname "$0")"
venv=$PWD/../.venv

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Python 3.11 or newer is needed; $("$python" --version 2>&1) is what '$python' is. Set PYTHON=/path/to/python3.11" >&2
  exit 1
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"

# Without dependencies: the lists are complete but for what only training on GPUs needs, above all NVIDIA's libraries, and for plotly and
# graphviz, which CatBoost's own plots need and nothing here draws. What torch loads at its start is there all the same, because no
# build of it for processors alone is in the package index.
add() {
  stamp=$venv/.requirements-$1
  wanted=$(cat install.sh requirements/uv.txt "requirements/$1.txt" | cksum)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return; fi
  echo "Python environment: installing ($2 at the first time)"
  rm -f "$stamp"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
  # Compiled here and now: where Python is told to write no bytecode, each process that loads torch compiles it anew, 9 of its 18 seconds.
  "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode --no-deps --require-hashes -r "requirements/$1.txt"
  site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  rm -f "$site/trainingjob.pth"
  echo "$PWD/src" > "$site/trainingjob.pth"
  echo "$wanted" > "$stamp"
  echo 'Python environment: ready'
}

add dev 'about 1 GB'
for list in "$@"; do
  case $list in
    finetune) add finetune 'about 2.7 GB' ;;
    lightning) add lightning 'about 2 MB' ;;
    *) echo "There is no list of packages '$list'. Write: install.sh [finetune] [lightning]" >&2; exit 1 ;;
  esac
done
