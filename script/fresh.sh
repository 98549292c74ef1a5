# fresh.sh: what README tells a reader to type, on Debian 12 machines as readers have them, each a root that is gone
# afterwards.  Sourced after roots.sh; test/fresh/machine.sh runs inside.
#
# bare: nothing but Debian, a tree without git's history, no lists of packages, a TMPDIR where no program may run.
# git: git alone, a clone that is another user's, a language that is not installed, apt in use.
# headers: postgresql-15 and its cluster without its headers, the server of another PostgreSQL, blanks in the tree's name, a
# TMPDIR too long for a socket.
# sudo: an ordinary user with sudo, a tree that may only be read; and one without, who is told what is missing.
fresh_machines=(bare git headers sudo)

# readme_commands PATTERN [HEADING]: lines of README's sh blocks.
readme_commands()
{
	"$python" "$scratch/src/test/docs/blocks.py" print "$scratch/src/README.md" sh ${2:+"$2"} | grep -E "$1"
}

# on_machine NAME STEP [COMMANDS]: packages are kept in the cache, so that each is fetched once.
on_machine()
{
	local dir=$scratch/fresh-$1

	mkdir -p "$cache/archives/partial" &&
		run_in_root -b "$scratch/src:/facematch" -b "$cache/archives:/var/cache/apt/archives" "$dir" \
			env KEEP="${KEEP:-}" /bin/bash /facematch/test/fresh/machine.sh "$@"
}

new_machine()
{
	bare_root bookworm && copy_root bare-bookworm "$scratch/fresh-$1" && on_machine "$1" prepare
}

# The commands as printed; of the tests, those of the type.
machine_one()
{
	local demo tests install

	demo=$(readme_commands '^script/demo( |$)') && tests=$(readme_commands '^script/test( |$)') && install=$(readme_commands . Install) || return 1
	case $2 in
		demo) on_machine "$1" demo "$demo" ;;
		test) on_machine "$1" test "$(printf '%s\n' "$tests" | head -n 1 | sed 's/ *#.*//') regress" ;;
		install) on_machine "$1" install "$install" ;;
		package) on_machine "$1" package "script/package ~/packages" ;;
	esac
}

stage_fresh()
{
	local machine step steps

	if ! can_make_roots; then
		check fresh skip "this takes root's rights to make roots and mounts"
		return
	fi
	for machine in ${FRESH:-${fresh_machines[*]}}; do
		steps="demo test install"
		[ "$machine" != sudo ] || steps+=" package"
		TEST='*' check "fresh/$machine/root" new_machine "$machine"
		if [ -e "$scratch/fresh-$machine/ready" ]; then
			for step in $steps; do
				TEST='*' check "fresh/$machine/$step" machine_one "$machine" "$step"
			done
		fi
		[ -n "${KEEP:-}" ] || rm -rf "$scratch/fresh-$machine"
	done
}
