#!/bin/bash
# SPDX-License-Identifier: MIT
# Ranks on cores of their own, as the batch script asks for where Slurm can: a cluster of one node
# that is this machine, with the plugin that binds.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/slurm_cluster.sh"
script=$source_root/tools/slurm/train.sbatch
[ "$(lscpu -p=SOCKET,CORE | grep -v '^#' | sort -u | wc -l)" -ge 2 ] ||
    skip 'one core: nothing to bind'
[ "$(env -u OMP_NUM_THREADS nproc)" -eq "$(nproc --all)" ] ||
    skip 'some of the processors are not for us: Slurm would bind to those too'
ldd "$ringmoe" | grep -q libmpich || skip 'not built with MPICH'

cluster_binds=yes
cluster_start
unset OMP_NUM_THREADS
export OMP_WAIT_POLICY=passive

# places RANKS CPUS BINDING: `info` tells in ./out where it runs.
places() {
    env OMP_PLACES=cores OMP_PROC_BIND=close OMP_NUM_THREADS="$2" \
        srun --mpi=pmi2 -K1 -W30 -N1 -n "$1" -c "$2" --cpu-bind="$3" "$ringmoe" info >out 2>err ||
        fail "info with --cpu-bind=$3: $(cat out err)"
}
cpus_of() { sed -n "s/.*rank $1 on .* on cpus //p" out; }
places 2 1 cores
has 'rank 1 on .*: 1 thread on cpus' out
[ "$(cpus_of 0)" != "$(cpus_of 1)" ] || fail "two ranks on the same cpus: $(cat out)"
! grep '^warning' out || fail 'a warning of ranks that are bound'
places 1 2 cores
has 'rank 0 on .*: 2 threads on cpus' out
places 2 1 none
[ "$(cpus_of 0)" = "$(cpus_of 1)" ] || fail "--cpu-bind=none binds: $(cat out)"
has '^warning .*the same cpus' out

# What the script makes of Slurm's variables, told by what it starts.
cat >teller <<TELLER
#!/bin/bash
echo "placed \$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)" \
    "\$OMP_NUM_THREADS \$OMP_PLACES \$OMP_PROC_BIND"
exec "$ringmoe" "\$@"
TELLER
chmod +x teller
export RINGMOE=$work/teller RINGMOE_SRUN_MPI=pmi2
small_config >small.json

# run NAME OPTIONS-OF-SBATCH...: a job and its end.
run() {
    local name=$1
    shift
    # shellcheck disable=SC2086
    sbatch --parsable --output="$name.out" "$@" "$script" $small_run --out "$work/$name" >job ||
        fail "$name: sbatch"
    wait_until 120 grep -q '^train.sbatch: finished' "$name.out" ||
        fail "$name did not finish: $(tail -n 5 "$name.out")"
}
run ranks -n 2
[ "$(grep -Ec '^placed [0-9,-]+ 1 cores close$' ranks.out)" -eq 2 ] ||
    fail "not two ranks of one thread: $(grep placed ranks.out)"
[ "$(grep '^placed' ranks.out | sort -u | wc -l)" -eq 2 ] ||
    fail "two ranks on the same cores: $(grep placed ranks.out)"
has '"threads": 1,' ranks/run.json
run threads -n 1 -c 2
has '^placed [0-9,-]+ [12] cores close$' threads.out
[ "$(grep -c '^placed' threads.out)" -eq 1 ] || fail 'not one rank'
finish
