#!/usr/bin/env bash
# A Slurm cluster of two virtual nodes on this machine, for the tests: as root, without systemd, all its files in FOLDER.
#   slurm.sh up FOLDER PORT PID starts it, until the process PID ends; the nodes see FOLDER/shared, each through a mount of its own where
#                               the system can
#   slurm.sh down FOLDER        ends the processes whose numbers are in FOLDER/run, and no others
#   slurm.sh die FOLDER NODE    ends a node at once, with what runs on it
#   slurm.sh revive FOLDER NODE starts it again
#   slurm.sh client FOLDER COMMAND...  runs a command that sees FOLDER/shared as a node does
#   slurm.sh control FOLDER     kills the controller and starts it again
set -euo pipefail
D=$(mkdir -p "$2" && cd "$2" && pwd)
export SLURM_CONF=$D/slurm.conf

# Seconds for which a node may not see what another has written, as NFS does; locks do not reach from mount to mount.
STALE=4

can_mount() {
  [ -e /dev/fuse ] && command -v bindfs > /dev/null && unshare -m true 2> /dev/null
}

# Runs a node, or any command, with a mount of its own.
with_mount() {
  local name=$1; shift
  unshare -m bash -c '
    mount --make-rprivate /
    bindfs -f -o "attr_timeout=$2,entry_timeout=$2,negative_timeout=$2" "$1/real" "$1/shared" > /dev/null 2>&1 < /dev/null & echo $! > "$1/run/mount-$3.pid"
    for _ in $(seq 100); do mountpoint -q "$1/shared" && break; sleep 0.05; done
    mountpoint -q "$1/shared"
    folder=$1; shift 3; exec "$@"' _ "$D" "$STALE" "$name" "$@"
}

node() {
  if [ -e "$D/mounts" ]; then with_mount "$1" slurmd -N "$1"; else slurmd -N "$1"; fi > "$D/log/$1.start" 2>&1 < /dev/null
}

up() {
  local port=$1 host
  host=$(hostname -s)
  mkdir -p "$D"/{state,spool,log,run,real}
  chmod 755 "$D" "$D/run" "$D/log" # munge asks for it
  if can_mount; then mkdir -p "$D/shared"; touch "$D/mounts"; else ln -sfn "$D/real" "$D/shared"; fi
  (umask 077; head -c 64 /dev/urandom > "$D/munge.key")
  munged --key-file="$D/munge.key" --socket="$D/run/munge" --pid-file="$D/run/munged.pid" \
    --log-file="$D/log/munged.log" --seed-file="$D/run/munge.seed" --num-threads=2 > "$D/log/munged.start" 2>&1 < /dev/null
  # Two slots for each node. cred_expire is how long a job that is started again has to wait; the default is 120.
  cat > "$SLURM_CONF" << CONF
ClusterName=fisherscape
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket=$D/run/munge,cred_expire=2
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool/%n
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd-%n.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,sched_min_interval=100000,bf_interval=1,batch_sched_delay=0,defer_batch
ReturnToService=2
KillWait=2
SlurmdTimeout=15
MaxArraySize=${MOST:-1001}
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 2))] CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  slurmctld -c > "$D/log/slurmctld.start" 2>&1 < /dev/null
  node n1
  node n2
  for _ in $(seq 100); do
    [ "$(sinfo -h -N -o %T 2> /dev/null | grep -c '^idle$')" -eq 2 ] && exit 0
    sleep 0.1
  done
  sinfo -N -l >&2
  exit 1
}

end() { # of a file with the number of a process
  if [ -e "$1" ]; then kill "${2:--TERM}" "$(cat "$1")" 2> /dev/null || true; fi
}

case $1 in
  up)
    # Whatever becomes of the tests, nothing of this stays.
    setsid bash -c 'while kill -0 "$1" 2> /dev/null; do sleep 1; done; "$0" down "$2"; rm -rf "$2"' "$(realpath "$0")" "$4" "$D" \
      > /dev/null 2>&1 < /dev/null &
    up "$3" ;;
  down)
    timeout 5 scancel --user=root --quiet 2> /dev/null || true
    for file in "$D"/run/slurmd-*.pid "$D"/run/slurmctld.pid "$D"/run/munged.pid "$D"/run/mount-*.pid; do end "$file"; done ;;
  die)
    end "$D/run/slurmd-$3.pid" -9
    # What runs on it has its name among its variables.
    for own in $(grep -lsz "^SLURMD_NODENAME=$3\$" /proc/[0-9]*/environ); do
      if tr '\0' '\n' < "$own" 2> /dev/null | grep -q "^SLURM_CONF=$D/"; then kill -9 "$(basename "$(dirname "$own")")" 2> /dev/null || true; fi
    done ;;
  revive) node "$3" ;;
  client) shift 2; if [ -e "$D/mounts" ]; then with_mount "client-$$" "$@"; else exec "$@"; fi ;;
  control)
    end "$D/run/slurmctld.pid" -9
    sleep 1
    slurmctld > "$D/log/slurmctld.start" 2>&1 < /dev/null ;;
esac
