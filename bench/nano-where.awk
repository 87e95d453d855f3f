# Sorts the samples of 'perf script -F comm,ip,sym,dso' by component, for bench/nano-where.  prepared: munmap is the
# row's preparation, which is not in ns, its figure.
function has(s) { return index(chain, " " s) }
function component() {
	if (comm !~ /exec/) return "(monitor)"
	if (has("perf_event_mmap")) return "(perf)"
	if (has("__x64_sys_mmap") || has("vm_mmap_pgoff"))
		return has("__mm_populate") ? "mmap: the pages (populate)" : "mmap: the mapping"
	if (prepared && has("__x64_sys_munmap")) return "(preparation)"
	if (has("__x64_sys_munmap") || has("__vm_munmap"))
		return has("unmap_vmas") || has("free_pgtables") || has("tlb_finish_mmu") ? "munmap: the pages" : "munmap: the mapping"
	if (has("__x64_sys_mprotect") || has("do_mprotect_pkey")) return "mprotect"
	if (has("__x64_sys_futex")) return "futex"
	if (has("timer_settime")) return "timer_settime"
	if (has("__x64_sys_rt_sigreturn") || has("__do_sys_rt_sigreturn")) return "sigreturn"
	if (has("do_int80_emulation") && !has("arch_do_signal_or_restart") && !has("force_sig")) return "host: INT $0x80's entry"
	if (has("arch_do_signal_or_restart") || has("get_signal")) return "signal: frame and FPU state"
	if (has("force_sig")) return "signal: raised"
	if (has("handle_mm_fault")) return "host page fault: filled by the host"
	if (has("exc_page_fault")) return "host page fault: entry and lookup"
	if (has("exc_")) return "host exception, other"
	if (has("sysvec_")) return "host interrupts"
	if (has("entry_SYSCALL_64") || has("do_syscall_64")) return "system calls: entry, exit, others"
	if (module ~ /kernel/) return "host kernel: " leaf
	if (module ~ /ringer$/) {
		if (leaf ~ /^(shadow_|walk|fill|drop|run_|runs_|joins|entry_|host_|snap_|region_|compare|rmap_|track|inspect|gap_|pde_|pte_|upgrade|protect_|small_ext|large_ext)/) return "ringer: shadow"
		if (leaf ~ /^(on_signal|bt_fault|direct_signal|page_fault)/) return "ringer: signal handler"
		if (leaf ~ /^(translate|xlate_|cache_|decode|find_|site_)/) return "ringer: translator and block tables"
		if (leaf ~ /^(seg_|desc_|load_sel|load_seg|vcpu_update|segments_|sync_|flat_|check_|co_seg)/) return "ringer: segments"
		if (leaf ~ /^(xfer_|deliver|stack_|co_|return_|exception|transferred|mem_|privileged)/) return "ringer: deliveries, returns, callouts"
		if (leaf ~ /^(exec_|direct_|enter$|run$|act$|run_|take_|bt_run)/) return "ringer: entry, exit, dispatcher"
		return "ringer: " leaf
	}
	return "guest code, direct and translated"
}
function sample(   c) {
	if (depth) { c = component(); count[c]++; if (c !~ /^\(/) total++ }
	depth = 0; chain = ""
}
/^[^ \t]/ { sample(); comm = $0; next }
/^[ \t]*$/ { sample(); next }
{ if (!depth++) { leaf = $2; module = $NF; gsub(/[()]/, "", module) } chain = chain " " $2 }
END {
	sample()
	all = total + count["(perf)"]
	for (c in count) {
		if (c ~ /^\(/ || !total) continue
		printf "%6.1f %%  %8.0f ns  %s\n", count[c] * 100 / total, count[c] / all * ns, c | ("sort -rn | head -n " lines)
	}
	close("sort -rn | head -n " lines)
	printf "          %8.0f ns  perf's own, subtracted (%d samples in all)\n", count["(perf)"] / (all ? all : 1) * ns, all
}
