#!/bin/sh
# One module is the gate: what executes SQL is called by objects of src/base alone, so no code of others runs around it
# (src/base/gate.c).  OBJECTS is where the tree was compiled: for script/test, beside the sources.
objects=${OBJECTS:-../gcc}
calls()
{
	for object in "$@"; do
		nm -u "$object" | awk -v o="$object" '$2 ~ /^SPI_(exec|prepare|cursor_open|cursor_parse|keepplan|saveplan)/ { print o ": " $2 }'
	done
}

cd "$objects" || exit 1
[ -n "$(calls src/base/*.o)" ] || { echo "nothing in src/base executes SQL: this test looks at the wrong objects"; exit 1; }
others=$(ls src/*.o src/*/*.o | grep -v '^src/base/')
around=$(calls $others)
[ -z "$around" ] || { echo "executes SQL around the gate:"; echo "$around"; exit 1; }
# Nor does anybody else take another identity.
around=$(for object in $others; do nm -u "$object" | grep -q SetUserIdAndSecContext && echo "$object"; done)
[ -z "$around" ] || { echo "changes its identity around the gate: $around"; exit 1; }
