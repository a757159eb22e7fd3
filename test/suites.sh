#!/usr/bin/env bash
# Runs the official protocol suites against the test server and against Socket.IO's own server on the same machine,
# RUNS times each, and prints what failed in each run. Only failures that Node's server does not show count.
#
#   PROTOCOL_SUITES=DIRECTORY [RUNS=10] test/suites.sh
#
# DIRECTORY is the docs/ folder of a checkout of github.com/socketio/socket.io, or anything with
# engine.io-protocol/v4-test-suite and socket.io-protocol/v5-test-suite in it. Their dependencies are installed
# in a copy, which is told of the port that the server got; the directory itself is left as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

: "${PROTOCOL_SUITES:?the directory of the fetched suites}"
RUNS="${RUNS:-10}"
work="$(mktemp -d)"
server=""
finish() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT

testserver="${HOLDFAST_TESTSERVER:-$work/testserver}"
if [ -z "${HOLDFAST_TESTSERVER:-}" ]; then go build -race -o "$testserver" ./test/testserver; fi

declare -A folder=([engine]=engine.io-protocol/v4-test-suite [socket]=socket.io-protocol/v5-test-suite)
for suite in engine socket; do
  if [ ! -f "$PROTOCOL_SUITES/${folder[$suite]}/test-suite.js" ]; then
    echo "no ${folder[$suite]}/test-suite.js below $PROTOCOL_SUITES" >&2
    exit 2
  fi
  cp -r "$PROTOCOL_SUITES/${folder[$suite]}" "$work/$suite"
  (cd "$work/$suite" && npm ci --silent --no-audit --no-fund >"$work/npm.log" 2>&1) || { cat "$work/npm.log" >&2; exit 2; }
done

# start TARGET SUITE: sets $server once it listens, and sends the suite to its port.
start() {
  local log="$work/$1-$2.log" port
  : >"$log"
  if [ "$1" = node ]; then
    node test/js/reference/main.mjs -listen=localhost:0 -suite="$2" >"$log" 2>&1 &
  else
    "$testserver" -listen=localhost:0 -suite="$2" >"$log" 2>&1 &
  fi
  server=$!
  until grep -q '^listening ' "$log"; do
    if ! kill -0 "$server" 2>/dev/null; then
      cat "$log" >&2
      exit 2
    fi
    sleep 0.05
  done
  port="$(sed -n 's/^listening .*:\([0-9]*\)$/\1/p' "$log")"
  sed "s/localhost:3000/localhost:$port/" "$PROTOCOL_SUITES/${folder[$2]}/test-suite.js" >"$work/$2/test-suite.js"
}

stop() {
  kill "$server"
  local code=0
  wait "$server" || code=$?
  server=""
  if [ "$code" -ne 0 ] || grep -q 'DATA RACE' "$work/$1-$2.log"; then
    echo "  the server ended with code $code"
    cat "$work/$1-$2.log"
    return 1
  fi
}

unexcused=0
for suite in engine socket; do
  : >"$work/excused"
  for target in node holdfast; do
    : >"$work/failures"
    for run in $(seq "$RUNS"); do
      start "$target" "$suite"
      (cd "$work/$suite" && npx --no-install mocha test-suite.js --reporter json >"$work/report.json" 2>"$work/report.err") || true
      stop "$target" "$suite" || unexcused=$((unexcused + 1))
      node -e '
        const report = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
        const { passes, failures, tests } = report.stats;
        console.log(`${process.argv[2]}: ${passes} of ${tests} passed`);
        for (const f of report.failures) console.log(`  failed: ${f.fullTitle}: ${f.err.message}`);
        require("fs").appendFileSync(process.argv[3], report.failures.map((f) => f.fullTitle + "\n").join(""));
      ' "$work/report.json" "$suite suite, $target, run $run" "$work/failures" || {
        cat "$work/report.err" >&2
        exit 2
      }
    done
    if [ "$target" = node ]; then
      sort -u "$work/failures" >"$work/excused"
    else
      new="$(sort -u "$work/failures" | comm -23 - "$work/excused")"
      if [ -n "$new" ]; then
        unexcused=$((unexcused + 1))
        printf 'fails with Holdfast only (%s suite):\n%s\n' "$suite" "$new"
      fi
    fi
  done
done

if [ "$unexcused" -ne 0 ]; then exit 1; fi
echo "no failure that Node's server does not show as well"
