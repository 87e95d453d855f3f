#!/usr/bin/env bash
# tests/cli.sh RINGER: the command line from the outside: what is refused, how
# (one line on stderr, the status), what help prints, and that the terminal is
# given back.  Needs no guest images.
set -u
ringer=${1:?usage: tests/cli.sh RINGER}
source=$(dirname "$(readlink -f "$0")")/..
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0 checks=0

fail() {
	failures=$((failures + 1))
	printf 'FAIL: %s\n' "$*" >&2
}

# refused STATUS PATTERN ARGS...: exits with STATUS, nothing on stdout, one line
# "ringer: ..." on stderr that matches PATTERN.
refused() {
	local want=$1 pattern=$2 status lines
	shift 2
	checks=$((checks + 1))
	timeout 20 "$ringer" "$@" </dev/null >out 2>err
	status=$?
	lines=$(wc -l <err)
	[ "$status" = "$want" ] || fail "ringer $*: status $status, not $want: $(cat err)"
	[ ! -s out ] || fail "ringer $*: output on stdout"
	[ "$lines" = 1 ] || fail "ringer $*: $lines lines on stderr: $(cat err)"
	grep -q "^ringer: .*$pattern" err || fail "ringer $*: '$(cat err)' does not match '$pattern'"
}

# prints PATTERN ARGS...: status 0, nothing on stderr, stdout matches PATTERN.
prints() {
	local pattern=$1 status
	shift
	checks=$((checks + 1))
	timeout 20 "$ringer" "$@" </dev/null >out 2>err
	status=$?
	[ "$status" = 0 ] || fail "ringer $*: status $status"
	[ ! -s err ] || fail "ringer $*: $(cat err)"
	grep -q -- "$pattern" out || fail "ringer $*: no '$pattern' on stdout"
}

# ---- Commands ----
refused 2 'no command'
refused 2 "unknown command 'fly'" fly
refused 2 "unexpected argument 'x'" version x
refused 2 "unexpected argument" doctor now
refused 2 "unexpected argument" help me
prints 'doctor' help
prints '--kernel FILE' help run
prints 'ringer [0-9]' version
prints 'ringer [0-9]' --version
prints 'Usage: ringer COMMAND' --help
prints '--serial SPEC' run --help
prints '--serial SPEC' run -h

prints '--json ' ctl --help
prints 'mode   bt|hw ' ctl -h
refused 2 'no path' ctl
refused 2 'no path' ctl --json
refused 2 "unknown command 'fly'" ctl sock fly
refused 2 "unexpected argument 'now'" ctl sock status now
refused 2 'mode needs its engine: bt|hw' ctl sock mode
refused 2 "unknown option '--fast'" ctl sock --fast status
refused 2 'not a number of seconds' ctl --timeout soon sock status
refused 2 'needs a value' ctl sock status --timeout
refused 1 'nosock: No such file' ctl nosock status
refused 1 'nosock: No such file' ctl nosock

# ---- Usage: 2 ----
refused 2 'no kernel' run
refused 2 'no kernel' run --mem 256M
refused 2 "unknown option '--kernal'" run --kernal=x
refused 2 "unknown option '-q'" run -q
refused 2 '--kernel needs a value' run --kernel
refused 2 "unexpected argument 'vmlinuz'" run vmlinuz
refused 2 "'lots' is not a size" run -k k --mem lots
refused 2 "unknown mode 'warp'" run -k k --mode=warp
refused 2 "unknown back end 'tcp:1'" run -k k --serial tcp:1
refused 2 "unknown category 'nothing'" run -k k --trace=irq,nothing
refused 2 'takes no value' run -k k --no-chain=1
refused 2 'not a number of seconds' run -k k --timeout soon
refused 2 "unknown device 'vga'" run -k k --device vga
refused 2 'hexadecimal' run -k k --bisect here-there

# ---- Impossible: 1 ----
refused 1 '4M to 3G' run -k k --mem 64G
refused 1 '4M to 3G' run -k k --mem 0
refused 1 '4M to 3G' run -k k --mem 1M
refused 1 '4M to 3G' run -k k --mem=-5
refused 1 '4M to 3G' run -k k --mem 99999999999999999999
refused 1 'page size' run -k k --mem 8193K
refused 1 'only one CPU so far' run -k k --cpus 2
refused 1 'only one CPU so far' run -k k -smp 4
refused 1 'only one .* stdio' run -k k --serial stdio --serial stdio
refused 1 'only one .* stdio' run -k k --serial stdio --debugcon stdio
refused 1 'at most 4 serial ports' run -k k --serial null --serial null --serial null --serial null --serial null
"$ringer" doctor | grep -q '^ok .*KVM' || refused 1 '--mode=hw: .' run -k k --mode=hw
# Hosts with another /dev/kvm: one line and status 1 under hw, bt under auto.
if gcc -shared -fPIC -o kvm-shim.so "$source/tests/kvm-shim.c" -ldl 2>gcc.err; then
	export LD_PRELOAD=$work/kvm-shim.so
	while IFS=: read -r KVM_SHIM why; do
		export KVM_SHIM
		refused 1 "--mode=hw: .*$why" run -k k --mode=hw
		grep -q hw-force err && fail "--hw-force is no help against '$why'"
		refused 1 "--mode=hw: .*$why" run -k k --mode=hw --hw-force --irqchip=user
	done <<-HOSTS
		old:API version 11, not 12
		lacking:lacks an MSR filter (Linux 5.10
		busy:another hypervisor is using
		denied:Permission denied (join the group kvm)
		foreign:is not KVM
	HOSTS
	unset LD_PRELOAD KVM_SHIM
else
	fail "cannot build kvm-shim: $(cat gcc.err)"
fi

# ---- Files: 1, and nothing half-created ----
head -c 4096 /dev/zero >zeros
printf 'MZ' >tiny
: >empty
mkdir dir
cp /bin/true elf64
refused 1 'missing: No such file' run -k missing
for image in zeros tiny empty dir elf64; do
	refused 1 "$image" run -k $image --serial file:log --serial unix:sock --stats=stats.json
done
for left in log sock stats.json; do
	[ ! -e $left ] || fail "a refused run left '$left' behind"
done

# A multiboot image is enough of a kernel to get as far as the back ends.  Header: magic, flags 0x10000
# (addresses given), checksum, header, load, load end, bss end, entry; then HLT with interrupts off, for ever.
byte4() { printf "\\x$(printf %02x $(($1 & 255)))\\x$(printf %02x $((($1 >> 8) & 255)))\\x$(printf %02x $((($1 >> 16) & 255)))\\x$(printf %02x $((($1 >> 24) & 255)))"; }
{
	for word in $((0x1badb002)) $((0x10000)) $((-(0x1badb002 + 0x10000))) $((0x100000)) $((0x100000)) 0 0 $((0x100020)); do
		byte4 "$word"
	done
	printf '\xfa\xf4\xeb\xfd'
	head -c 4000 /dev/zero
} >idle
refused 1 'missing-initrd: No such file' run -k idle -i missing-initrd
refused 1 '/nonexistent/log: No such file' run -k idle --serial file:/nonexistent/log
refused 1 '/nonexistent/s.json: No such file' run -k idle --stats=/nonexistent/s.json
refused 1 '/nonexistent/sock: No such file' run -k idle --serial unix:/nonexistent/sock
refused 1 'nobody: No such file' run -k idle --serial unix:nobody,server=off
refused 1 'idle: ' run -k idle --serial unix:idle
refused 1 '/nonexistent/sock: No such file' run -k idle --control /nonexistent/sock
refused 1 'idle: in use' run -k idle --control idle
refused 1 'at most 107 bytes' run -k idle --control "$(printf %0120d 0)"
refused 1 'sock: in use' run -k idle --control sock --serial unix:sock
refused 1 '/nonexistent/s.json: No such file' run -k idle --control sock --stats=/nonexistent/s.json
[ ! -e sock ] || fail "a refused run left its control socket behind"
refused 1 'missing: No such file' run -k idle --symbols missing
refused 1 'neither an ELF file nor a System.map' run -k idle --symbols zeros

# ---- Lists ----
prints 'bt ' run --mode help
prints 'unix:PATH' run --serial help
prints 'stdio' run --debugcon=help
prints 'isa-debug-exit' run --device help
while read -r category; do
	prints "^$category " run --trace=help
done < <("$ringer" run --trace help | cut -d' ' -f1)

# ---- doctor ----
"$ringer" doctor >out 2>err
status=$?
checks=$((checks + 1))
for row in '64-bit Linux' FSGSBASE 'compatibility mode' modify_ldt 'Syscall User Dispatch' 'IA32' \
	mmap_min_addr max_map_count TSC XSAVE seccomp KVM; do
	grep -q "^\(ok\|warn\|FAIL\) .*$row" out || fail "doctor says nothing about $row"
done
[ ! -s err ] || fail "doctor: $(cat err)"
if grep -q '^FAIL' out; then
	[ $status = 1 ] || fail "doctor found a failure, status $status"
	echo "cli.sh: this host cannot run machines: the rest is skipped" >&2
	[ $failures = 0 ] && exit 0 || exit 1
fi
[ $status = 0 ] || fail "doctor found no failure, status $status"

# ---- The end of a run ----
# ends STATUS PATTERN ARGS...: status, and a last line on stderr that matches.
ends() {
	local want=$1 pattern=$2 status
	shift 2
	checks=$((checks + 1))
	timeout -s KILL 30 "$ringer" "$@" >out 2>err
	status=$?
	[ "$status" = "$want" ] || fail "ringer $*: status $status, not $want: $(cat err)"
	[ -z "$pattern" ] || tail -n 1 err | grep -q "^ringer: .*$pattern" || fail "ringer $*: '$(cat err)' does not match '$pattern'"
	[ -n "$pattern" ] || [ ! -s err ] || fail "ringer $*: '$(cat err)' on stderr"
}

ends 124 'timeout' run -k idle --timeout 0.2 </dev/null
ends 124 'timeout' run -k idle --timeout 0.2 <&-
ends 0 '' run -k idle --timeout 20 < <(printf '\001x')
"$ringer" run -k idle --timeout 0.2 --stats >&- 2>&- <&-
[ $? = 124 ] || fail "without standard streams: status $?"
ends 124 'timeout' run -k idle --timeout 0.3 < <(printf '\001\001x')
ends 124 'timeout' run -k idle --timeout 0.3 --serial null <zeros
grep -q . out && fail "serial null wrote something"

# Help and statistics from the console's keys.
ends 0 '' run -k idle --timeout 20 --mode=bt < <(printf '\001'; sleep 0.2; printf x)
timeout 20 "$ringer" run -k idle --timeout 20 >out 2>err < <(printf '\001h\001s'; sleep 0.5; printf '\001x')
grep -q 'C-a x' err || fail "C-a h does not help: $(cat err)"
grep -q 'guest_insns' err || fail "C-a s prints no statistics"

# Statistics: every counter of the table in both outputs; for people, a section that has counted nothing is one line.
ends 124 'timeout' run -k idle --timeout 0.2 --stats=stats.json </dev/null
"$ringer" run -k idle --timeout 0.2 --stats </dev/null >out 2>err
title=
sed -n 's/^SECTION([a-z0-9_]*, "\(.*\)").*/section \1/p; s/^COUNTER(\([a-z0-9_]*\),.*/counter \1/p' "$source/base/counters.def" >rows
while read -r kind name; do
	if [ "$kind" = section ]; then
		title=$name
		grep -qF "$title" err || fail "--stats has no section $title"
	elif grep -qF "$title: nothing" err; then
		! grep -q "^  $name " err || fail "--stats reports $name in an empty section"
	else
		grep -q "^  $name " err || fail "--stats does not report $name"
	fi
done <rows
for counter in $(sed -n 's/^counter //p' rows); do
	grep -q "\"$counter\": [0-9]" stats.json || fail "--stats=FILE does not report $counter"
done

# Signals: the machine ends, the status says which.
for signal in INT TERM HUP QUIT; do
	checks=$((checks + 1))
	# (Whoever runs this may ignore hangups: nohup.)
	env --default-signal=HUP "$ringer" run -k idle --timeout 20 --serial unix:sock >out 2>err </dev/null &
	pid=$!
	for _ in $(seq 100); do [ -S sock ] && break; sleep 0.05; done
	sleep 0.2
	kill -USR1 $pid
	sleep 0.3
	kill -$signal $pid
	wait $pid
	status=$?
	[ $status = $((128 + $(kill -l $signal))) ] || fail "SIG$signal: status $status"
	grep -q guest_insns err || fail "SIGUSR1 prints no statistics"
	[ ! -e sock ] || fail "SIG$signal: the socket's file is left"
done

# Under nohup(1) a hangup is nothing.
checks=$((checks + 1))
(trap '' HUP; exec "$ringer" run -k idle --timeout 1 --serial unix:sock) >out 2>err </dev/null &
pid=$!
for _ in $(seq 100); do [ -S sock ] && break; sleep 0.05; done
sleep 0.2
kill -HUP $pid
wait $pid
status=$?
[ $status = 124 ] || fail "SIGHUP that is ignored: status $status"

# SIGUSR1 is answered at once by a guest that halts, up to date, not when the wait for it ends after 200 ms.
checks=$((checks + 1))
"$ringer" run -k idle --timeout 20 >out 2>err </dev/null &
pid=$!
sleep 0.5
best=1000
for n in 1 2 3 4 5; do
	begin=$(date +%s%N)
	kill -USR1 $pid
	for _ in $(seq 200); do [ "$(grep -c timer_fires err)" -ge $n ] && break; sleep 0.005; done
	took=$((($(date +%s%N) - begin) / 1000000))
	[ $took -ge $best ] || best=$took
done
kill -TERM $pid
wait $pid
[ $best -lt 150 ] || fail "SIGUSR1: the fastest of five reports took $best ms"
grep '^  ns_idle ' err | tail -n 1 | grep -q ' [0-9.]* m\?s ' || fail "SIGUSR1: $(grep '^  ns_idle ' err | tail -n 1) of an idle guest"

# ---- The control socket ----
# A guest that writes dots to the debug console for ever: cli; again: out 0xe9, '.'; a million turns of LOOP; jmp again.
{
	head -c 32 idle
	printf '\xfa\xb0\x2e\xe6\xe9\xb9\x00\x00\x10\x00\xe2\xfe\xeb\xf3'
	head -c 4000 /dev/zero
} >ticker

# controlled ARGS...: start a machine with a control socket.
controlled() {
	"$ringer" run --control sock "$@" >out 2>err </dev/null &
	pid=$!
	for _ in $(seq 100); do [ -S sock ] && return; sleep 0.05; done
	fail "no control socket: $(cat err)"
}

# says PATTERN WORDS...: ringer ctl's status is 0, its output matches.
says() {
	local pattern=$1 status
	shift
	checks=$((checks + 1))
	timeout 20 "$ringer" ctl sock "$@" </dev/null >said 2>said.err
	status=$?
	[ $status = 0 ] || fail "ctl $*: status $status: $(cat said.err)"
	[ ! -s said.err ] || fail "ctl $*: $(cat said.err)"
	[ -z "$pattern" ] || grep -q -- "$pattern" said || fail "ctl $*: no '$pattern' in: $(head -n 20 said)"
}

# ended STATUS LABEL: the machine has, and so has its socket.
ended() {
	local status
	wait $pid
	status=$?
	[ $status = "$1" ] || fail "$2: status $status, not $1: $(cat err)"
	[ ! -e sock ] || fail "$2: the control socket is left"
}

ticks() { stat -c %s ticks; }
# The guest runs, or it does not.
is_running() {
	local before
	before=$(ticks)
	for _ in $(seq 100); do [ "$(ticks)" -gt "$before" ] && return; sleep 0.05; done
	fail "$1: the guest does not run"
}
is_paused() {
	local before
	sleep 0.1
	before=$(ticks)
	sleep 0.3
	[ "$(ticks)" = "$before" ] || fail "$1: the guest runs"
}

controlled -k ticker --serial null --debugcon file:ticks --timeout 60
[ "$(stat -c %a sock)" = 600 ] || fail "the control socket's mode is $(stat -c %a sock)"
says '^state  *running$' status
says '^engine  *bt$' status
says '"state":"running"' --json status
says '"return"' status --json
says '^executor_pid  *[0-9]' status
says '^    guest_insns  *[0-9]' stats
says '"counters":{.*"guest_insns":' stats --json
says '^mode bt|hw ' help
says '^changed  *no$' resume
says '^changed  *no$' mode bt

# Another machine cannot have the path, and leaves it alone.
refused 1 'sock: in use' run -k idle --control sock
is_running 'before a pause'
says '^state  *paused$' pause
is_paused 'after a pause'
says '^state  *paused$' status
says '^executor_pid  *none$' status
says '^changed  *no$' pause
says '^    guest_insns  *[0-9]' stats
says '^changed  *yes$' resume
is_running 'after resume'
for n in 1 2 3 4 5 6 7 8; do
	"$ringer" ctl sock pause >/dev/null && "$ringer" ctl sock resume >/dev/null || fail "pause and resume, round $n"
done
is_running 'after many pauses'

# hw where the CPU assists it; else one line says why not, and the guest goes on as it was.
if "$ringer" ctl sock mode hw >said 2>said.err; then
	grep -q '^previous  *bt$' said || fail "mode hw: $(cat said)"
	says '^engine  *hw$' status
	is_running 'under hw'
	says '^engine  *bt$' mode bt
	says '^switches  *2$' status
else
	[ "$(wc -l <said.err)" = 1 ] && grep -q '^ringer: mode: .' said.err || fail "mode hw refused by: $(cat said.err)"
	[ ! -s said ] || fail "mode hw refused, and on stdout: $(cat said)"
	says '^switches  *0$' status
fi
says '^engine  *bt$' status
is_running 'after mode'

# Commands from stdin; one that is wrong or refused does not end them, but the status tells.
printf 'status\n\npause\nfly\nmode warp\nresume\n' | timeout 20 "$ringer" ctl sock >said 2>said.err
[ $? = 1 ] || fail 'ctl from stdin: a refused command is not seen in the status'
[ "$(cat said.err)" = "ringer: unknown command 'fly' (help lists them)
ringer: unknown engine 'warp' (bt|hw)" ] || fail "ctl from stdin: $(cat said.err)"
[ "$(grep -c '^state ' said)" = 3 ] || fail "ctl from stdin: $(cat said)"
printf 'status\nhelp\n' | timeout 20 "$ringer" ctl --json sock >said || fail 'ctl from stdin: status'
[ "$(wc -l <said)" = 2 ] || fail "ctl --json from stdin: $(cat said)"

# A machine that is stopped does not answer, and is itself again afterwards.
kill -STOP $pid
refused 1 'does not answer' ctl sock --timeout 0.3 status
kill -CONT $pid
says '^state  *running$' status

# Signals and statistics while paused.
says '^state  *paused$' pause
kill -USR1 $pid
for _ in $(seq 100); do grep -q guest_insns err && break; sleep 0.05; done
grep -q guest_insns err || fail 'SIGUSR1 prints nothing while paused'
kill -TSTP $pid
sleep 0.2
kill -CONT $pid
says '^state  *paused$' status
says '^state  *running$' resume
is_running 'after SIGTSTP and SIGCONT while paused'
checks=$((checks + 1))
timeout 20 "$ringer" ctl sock quit >said 2>&1 || fail "quit: $(cat said)"
[ ! -e sock ] || fail 'quit returns before the machine has ended'
ended 0 quit
[ -z "$(grep -v '^ \|^$\|^[A-Z]\|^ringer: statistics' err)" ] || fail "a controlled machine says: $(cat err)"

# Paused to the end: quit, a signal, the time limit.
controlled -k idle --serial null --timeout 20
says paused pause
says '' quit
ended 0 'quit while paused'
controlled -k idle --serial null --timeout 20
says paused pause
kill -TERM $pid
ended 143 'SIGTERM while paused'
controlled -k idle --serial null --timeout 1
says paused pause
ended 124 'timeout while paused'

# A socket left by a machine that was killed is replaced.
controlled -k idle --serial null --timeout 20
disown $pid		# no word from the shell about it
kill -KILL $pid
for _ in $(seq 100); do kill -0 $pid 2>/dev/null || break; sleep 0.05; done
[ -S sock ] || fail 'a killed machine has removed its socket'
refused 1 'no machine listens' ctl sock status
controlled -k idle --serial null --timeout 20
for _ in $(seq 100); do "$ringer" ctl sock status >/dev/null 2>&1 && break; sleep 0.05; done
says running status
# One that another has put in its place stays.
rm sock
: >sock
kill -TERM $pid
wait $pid
[ -f sock ] || fail "another's file in place of the socket was removed"
rm -f sock

# Before power-on there is no guest to pause; quit and status are possible.
controlled -k idle --serial unix:com1,wait=on --timeout 20
says '^state  *waiting$' status
says '^executor_pid  *none$' status
refused 1 'has not started' ctl sock pause
refused 1 'has not started' ctl sock mode bt
says . stats
says '' quit
ended 0 'quit before power-on'

# Sockets where no machine listens for commands: silence, and no end of dots.
controlled -k ticker --serial unix:com1 --debugcon unix:dots --timeout 20
refused 1 'com1: the machine does not answer' ctl com1 --timeout 0.2 status
refused 1 'dots: the machine does not answer' ctl --timeout=0.2 dots status
kill -TERM $pid
ended 143 'ctl to other sockets'

# The same commands from the console's keyboard.
timeout 20 "$ringer" run -k idle --timeout 20 >out 2>err \
	< <(printf '\001cstatus\rpauze\177\177se\rfly\rmode warp\r\001hresume\rstats\r\001c'; sleep 0.5; printf '\001cquit\r')
[ $? = 0 ] || fail "quit in the control console: status $?"
for text in '^(ringer) status' '^state  *running$' '^state  *paused$' "^unknown command 'fly'" "^unknown engine 'warp'" \
	'^C-a x' '^(ringer) resume$' '^  guest_insns ' '^(ringer) quit$'; do
	grep -q -- "$text" err || fail "control console: no '$text' in: $(cat err)"
done

# ---- The terminal ----
# script(1) gives the shell a terminal of its own; stty before and after must agree.
on_terminal() {
	local label=$1 keys=$2 command=$3
	checks=$((checks + 1))
	printf '%s' "stty -g >before; $command; echo \$? >status; stty -g >after" >session
	# The keys' pipe stays open until the session has ended, and nobody waits for its sleep.
	timeout 30 script -qec 'bash ./session' /dev/null >out 2>&1 < <(sleep 0.7; printf "$keys"; sleep 20 2>/dev/null)
	[ -s before ] && cmp -s before after || fail "$label: the terminal is not as it was"
}
if command -v script >/dev/null; then
	on_terminal quit '\001x' "'$ringer' run -k idle --timeout 20"
	[ "$(cat status)" = 0 ] || fail "C-a x on a terminal: status $(cat status)"
	on_terminal timeout '' "'$ringer' run -k idle --timeout 0.5"
	[ "$(cat status)" = 124 ] || fail "timeout on a terminal: status $(cat status)"
	on_terminal 'C-c is the guest'"'"'s' '\003' "'$ringer' run -k idle --timeout 2"
	[ "$(cat status)" = 124 ] || fail "C-c on a terminal: status $(cat status)"
	on_terminal pty '' "'$ringer' run -k idle --timeout 1 --serial pty 2>pty"
	grep -q '^ringer: serial0 is /dev/pts/[0-9]*$' pty || fail "--serial pty: $(cat pty)"
	for signal in INT TERM HUP QUIT SEGV ABRT; do
		on_terminal "SIG$signal" '' "'$ringer' run -k idle --timeout 20 </dev/tty & p=\$!; (sleep 0.7; kill -$signal \$p) & wait \$p"
	done
	on_terminal 'suspend' '' "'$ringer' run -k idle --timeout 20 </dev/tty & p=\$!; sleep 0.7; kill -TSTP \$p; sleep 0.5
		stty -g >stopped; kill -CONT \$p; sleep 0.5; stty -g >resumed; kill -TERM \$p; wait \$p"
	cmp -s before stopped || fail 'suspended: the terminal is not as it was'
	cmp -s before resumed && fail 'resumed: the terminal is not raw'
	on_terminal 'control console' '\001cstatus\rstat\177tus\rpause\r\001cresume\r\001cstatus\r\001x' "'$ringer' run -k idle --timeout 20"
	[ "$(cat status)" = 0 ] || fail "C-a x after the control console: status $(cat status)"
	for text in '(ringer) status' '^state  *running' '^state  *paused'; do
		grep -q "$text" out || fail "the control console on a terminal: no '$text'"
	done
	on_terminal 'refused run' '' "'$ringer' run -k missing"
fi

echo "cli.sh: $checks checks, $failures failures"
[ $failures = 0 ]
