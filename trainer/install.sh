#!/bin/sh
# Makes the Python environment ../.venv with exactly the pinned packages. Does nothing when it is there already.
set -eu
cd "$(dirname "$0")"
venv=$PWD/../.venv
stamp=$venv/.requirements
wanted=$(cat install.sh requirements/uv.txt requirements/dev.txt | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Python 3.11 or newer is needed; $("$python" --version 2>&1) is what '$python' is. Set PYTHON=/path/to/python3.11" >&2
  exit 1
}
echo 'Python environment: installing (about 350 MB at the first time)'
rm -f "$stamp"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
# Without dependencies: the list is complete but for NVIDIA's NCCL, 300 MB that only training on several GPUs needs.
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --require-hashes -r requirements/dev.txt
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$PWD/src" > "$site/trainingjob.pth"
echo "$wanted" > "$stamp"
echo 'Python environment: ready'
