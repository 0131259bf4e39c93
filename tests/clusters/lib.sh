# What the scripts of this folder share. Sourced, never run.
# shellcheck shell=bash

CLUSTERS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${SPANWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/spanway}
export SPANWAY_CACHE=$CACHE
# What runs is recorded here and not in the folder of a run, so that a killed run whose folder is
# gone can still be ended.
STATE=/run/spanway-clusters

export KUBERNETES=1.37.2 COREDNS=1.14.7 HELM=3.22.0 GATEWAY_API=1.7.0 MCS_API=0.5.2

# A condition that is not met after this many seconds is an error. A cluster needs half a minute;
# the rest is for machines that compile meanwhile.
PATIENCE=${SPANWAY_CLUSTERS_PATIENCE:-180}

say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }

die() {
	say "error: $*"
	exit 1
}

need_root() {
	[[ $(uname -s) == Linux ]] || die "real clusters need Linux, this is $(uname -s)"
	[[ $EUID == 0 ]] || die "real clusters need root (namespaces, mounts, cgroups)"
}

# until_true WHAT COMMAND...: polls until the command succeeds.
until_true() {
	local what=$1 end=$((SECONDS + PATIENCE))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || die "gave up after $PATIENCE s: $what"
		sleep 0.1
	done
}

# hash_of PATH...: 12 digits that change with the content of these files and folders.
hash_of() {
	(cd "$CLUSTERS" && find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-12
}

# part NAME: the folder in the cache where a built part is, or will be.
part() {
	local system
	case $1 in
	kubernetes) echo "$CACHE/kubernetes-$KUBERNETES-$(hash_of kubernetes)" ;;
	coredns) echo "$CACHE/coredns-$COREDNS-$(hash_of coredns)" ;;
	helm) echo "$CACHE/helm-$HELM-$(hash_of helm)" ;;
	crds) echo "$CACHE/crds-$GATEWAY_API-$MCS_API-$(hash_of build)" ;;
	debian)
		system=$(. /etc/os-release && echo "$ID$VERSION_ID")
		echo "$CACHE/$system-$(hash_of debian.list)"
		;;
	images) echo "$CACHE/images-$COREDNS-$(hash_of build images coredns debian.list)" ;;
	*) die "no such part: $1" ;;
	esac
}

# in_net NAMESPACE COMMAND...: in this network namespace, with the mounts and cgroups of the machine
# (ip netns exec would hide the cgroups).
in_net() {
	local namespace=$1
	shift
	nsenter --net="/run/netns/$namespace" "$@"
}

# started PID: when the process started, which together with the id names it for ever.
started() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	stat=${stat##*) }
	cut -d' ' -f20 <<<"$stat"
}

# record FILE PID: remembers a process that we started.
record() { echo "$2 $(started "$2" || echo gone)" >"$1"; }

# alive FILE: whether the recorded process still runs (and is not another one with its id).
alive() {
	local pid start
	[[ -f $1 ]] && read -r pid start <"$1" && [[ $(started "$pid") == "$start" ]] &&
		[[ $(ps -o stat= -p "$pid") != Z* ]]
}

# finish FILE...: ends the recorded processes at once and waits until they are gone.
finish() {
	local file pid
	for file in "$@"; do
		if alive "$file"; then
			read -r pid _ <"$file"
			kill -KILL "$pid" 2>/dev/null || true
		fi
	done
	for file in "$@"; do
		until_true "the process of $file ends" not alive "$file"
		rm -f "$file"
	done
}

# cgroup_roots: every hierarchy that has controllers.
cgroup_roots() {
	if [[ $(stat -fc %T /sys/fs/cgroup) == cgroup2fs ]]; then
		echo /sys/fs/cgroup
	else
		find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d
	fi
}

not() { ! "$@"; }

# open_run DIR NAME: "PREFIX INDEX DIR" of a running cluster.
open_run() {
	local dir index
	dir=$(cd "$1" && pwd) || die "no such folder: $1"
	[[ -f $dir/env ]] || die "no clusters run in $dir"
	index=$(. "$dir/env" && key=${2}_index && echo "${!key:-}")
	[[ -n $index ]] || die "no cluster $2 in $dir"
	echo "$(. "$dir/env" && echo "$prefix") $index $dir"
}
