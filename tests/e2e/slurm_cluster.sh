# SPDX-License-Identifier: MIT
# A Slurm of its own on this machine, with two nodes n1 and n2: its own munge, ports, key and state,
# all of it in ./cluster, so that it meets no Slurm that may be running here. Sourced; begins with
#
#   cluster_start        or ends the script with 77 where that cannot be
#
# and takes itself away when the script ends. With cluster_binds=yes it is one node that has this
# machine's cores and binds tasks to them.

cluster=
cluster_binds=
cluster_processes=()

cluster_stop() {
    local process
    if [ -n "$cluster" ] && [ "${#cluster_processes[@]}" -gt 1 ]; then
        scancel --full --signal=KILL --user=root 2>/dev/null
        scancel --user=root 2>/dev/null
        wait_until 10 no_job_left
    fi
    for process in "${cluster_processes[@]}"; do kill "$process" 2>/dev/null; done
    for process in "${cluster_processes[@]}"; do
        wait_until 5 is_gone "$process" || kill -KILL "$process" 2>/dev/null
    done
    wait 2>/dev/null
}

is_gone() { ! kill -0 "$1"; }
no_job_left() { [ -z "$(squeue -h)" ]; }
port_is_free() { ! (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Three ports in a row, below those that the system hands out.
choose_ports() {
    local port tries
    for tries in $(seq 50); do
        port=$((20000 + RANDOM % 10000))
        port_is_free $port && port_is_free $((port + 1)) && port_is_free $((port + 2)) &&
            { echo "$port"; return; }
    done
    return "$tries"
}

# write_node NAME HOST PORT. Each of several claims 4 cpus, whatever this machine has.
write_node() {
    local cpus=CPUs=4
    [ -z "$cluster_binds" ] || cpus=$(slurmd -C | grep -o 'CPUs=.*ThreadsPerCore=[0-9]*')
    echo "NodeName=$1 NodeHostname=$2 NodeAddr=127.0.0.1 Port=$(($3 + ${1#n})) $cpus RealMemory=500"
}

# write_configuration PORT. cred_expire is also how long a requeued job waits: 5 s is the least,
# and the default is 2 minutes. Jobs of the partition "urgent" take the nodes from those of "main".
write_configuration() {
    local host nodes
    host=$(hostname -s)
    nodes=$(IFS=, && echo "${cluster_nodes[*]}")
    cat <<CONF
ClusterName=ringmoe-test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$1
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$cluster/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/%n
TmpFS=$cluster/%n
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/%n.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/%n.log
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
ProctrackType=proctrack/linuxproc
TaskPlugin=$([ "$cluster_binds" ] && echo task/affinity || echo task/none)
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
PropagateResourceLimits=NONE
ReturnToService=2
KillWait=15
SlurmdTimeout=300
$(for node in "${cluster_nodes[@]}"; do write_node "$node" "$host" "$1"; done)
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=$nodes Default=YES OverSubscribe=FORCE:4 PriorityTier=1 GraceTime=15
PartitionName=urgent Nodes=$nodes OverSubscribe=NO PriorityTier=9 PreemptMode=OFF
CONF
}

# start_daemon COMMAND...: in the background, its words in a log.
start_daemon() {
    "$@" >>"$cluster/$(basename "$1").out" 2>&1 &
    cluster_processes+=($!)
}

all_are_idle() { [ "$(sinfo -h -N -t idle -o %N | sort -u | wc -l)" -eq "${#cluster_nodes[@]}" ]; }

cluster_start() {
    local command port node cluster_nodes=(n1 n2)
    [ -z "$cluster_binds" ] || cluster_nodes=(n1)
    PATH=$PATH:/usr/sbin:/sbin
    [ "$(id -u)" -eq 0 ] || skip "slurmd and munged of a test want root"
    for command in munged slurmctld slurmd sbatch srun scontrol lscpu pgrep; do
        command -v "$command" >/dev/null ||
            skip "no $command (Debian: apt-get install slurm-wlm munge)"
    done
    # Of a job in which this may be running.
    unset "${!SLURM_@}" "${!SBATCH_@}" "${!SRUN_@}"
    port=$(choose_ports) || skip "no three free ports in a row"
    cluster=${work:?}/cluster
    mkdir -p "$cluster/state" "${cluster_nodes[@]/#/$cluster/}"
    chmod 755 "$work" "$cluster"
    (umask 077 && head -c 1024 /dev/urandom >"$cluster/munge.key")
    write_configuration "$port" >"$cluster/slurm.conf"
    # This plugin looks for cgroups only when something needs them; the one that slurmd chooses
    # by itself does not start where none are mounted.
    echo CgroupPlugin=cgroup/v1 >"$cluster/cgroup.conf"
    export SLURM_CONF=$cluster/slurm.conf
    trap 'cluster_stop; rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
    start_daemon munged --foreground --force --key-file="$cluster/munge.key" \
        --socket="$cluster/munge.socket" --log-file="$cluster/munge.log" \
        --pid-file="$cluster/munge.pid" --seed-file="$cluster/munge.seed"
    wait_until 10 test -S "$cluster/munge.socket" || skip "munged does not start here: $(
        tail -n 3 "$cluster"/munged.out)"
    start_daemon slurmctld -D -f "$SLURM_CONF"
    for node in "${cluster_nodes[@]}"; do start_daemon slurmd -D -f "$SLURM_CONF" -N "$node"; done
    wait_until 30 all_are_idle || skip "this Slurm does not start here: $(
        tail -q -n 3 "$cluster"/slurm*.out)"
}
