#!/usr/bin/env bash
# The kernels for ARM64 Linux, cross-compiled, and tests of kernels and runtime on them: an ARM64 Python under qemu-user,
# once as a CPU with matrix products (max), once as one without them and without dot products of bytes (cortex-a72). With
# arguments, pytest gets these instead:
#     tests/on_arm.sh tests/kernels tests/runtime        everything: ten minutes (two tests start a Python, which needs binfmt)
# Where a tool is missing or nothing can be fetched, nothing is tested, and one line says why.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/build/arm
python=${PYTHON:-.venv/bin/python}

skip() { echo "ARM64 is not tested: $1"; exit 0; }
for tool in aarch64-linux-gnu-g++ qemu-aarch64 cmake apt-get dpkg; do
  command -v $tool >/dev/null || skip "$tool is not installed (Debian: g++-aarch64-linux-gnu, qemu-user)"
done

# Debian's Python for arm64, unpacked beside, with package lists of its own: nothing is installed.
fetch_python() {
  local work=$out/apt
  mkdir -p "$work"/state/lists/partial "$work"/cache/archives/partial "$work"/debs && : > "$work"/state/status
  local apt=(apt-get -qq -o Dir::State="$work"/state -o Dir::State::status="$work"/state/status -o Dir::Cache="$work"/cache
             -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=)
  "${apt[@]}" update || true
  (cd "$work"/debs && "${apt[@]}" download python3-minimal python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 \
    libgcc-s1 libstdc++6 libexpat1 zlib1g libffi8 libbz2-1.0 liblzma5 libssl3 libuuid1 libsqlite3-0) || return 1
  rm -rf "$out"/root.new
  for package in "$work"/debs/*.deb; do dpkg -x "$package" "$out"/root.new; done
  mv "$out"/root.new "$out"/root && rm -rf "$work"
}
fetch_packages() {
  "$python" -m pip install -q --disable-pip-version-check --no-deps --target "$out"/packages.new -c constraints.txt \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 --only-binary=:all: \
    --implementation cp --python-version 3.11 \
    numpy safetensors rjieba chardet pytest hypothesis iniconfig packaging pluggy pygments sortedcontainers || return 1
  mv "$out"/packages.new "$out"/packages
}

mkdir -p "$out"
[ -d "$out"/root ] || fetch_python || skip "Debian's Python 3.11 for arm64 cannot be had here"
[ -d "$out"/packages ] || fetch_packages || skip "its packages cannot be had here"
cmake -S . -B "$out"/library -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DOSTINATO_OUTPUT="$out" >/dev/null
cmake --build "$out"/library --parallel "$(nproc)"

# emulated CPU ARGUMENTS...: a Python on that CPU
emulated() {
  local cpu=$1; shift
  QEMU_LD_PREFIX=$out/root OSTINATO_LIBRARY=$out/libostinato.so PYTHONPATH=$PWD/src:$out/packages OMP_NUM_THREADS=1 \
    PYTHONDONTWRITEBYTECODE=1 qemu-aarch64 -cpu "$cpu" "$out"/root/usr/bin/python3.11 "$@"
}
# on_cpu CPU PYTEST-ARGUMENTS...
on_cpu() {
  echo "ARM64, qemu's CPU $1:"
  emulated "$1" -m pytest -p no:cacheprovider "${@:2}"
}
# Each CPU takes the best set that it has, and no instruction that it lacks.
for each in cortex-a72:neon neoverse-n1:dotprod max:mmla; do
  found=$(emulated ${each%:*} -c 'from ostinato.kernels.load import choose_isa; print(choose_isa().isa)')
  [ "$found" = ${each#*:} ] || { echo "on qemu's CPU ${each%:*} the kernels are $found, not ${each#*:}"; exit 1; }
done
if [ $# -gt 0 ]; then
  for cpu in max cortex-a72; do on_cpu $cpu "$@"; done
  exit
fi
# Without the tests that take longest under qemu, and each kernel on one CPU; on two cores, both at once. The sets share all
# but int8 products, in which they agree to the bit, and bf16.
recurrent=tests/kernels/test_kernels_recurrent.py
on_cpu cortex-a72 tests/kernels/test_train_kernels.py $recurrent -k "neon and not everywhere_alike" > "$out"/neon.log 2>&1 &
first=$!
status=0
on_cpu max tests/kernels/test_train_kernels.py $recurrent tests/runtime/test_runtime_recurrent.py \
  -k "same_bits_in_every_set or mmla and not writes_what and (bf16 or not test_train_kernels)" || status=1
wait $first || status=1
cat "$out"/neon.log
exit $status
