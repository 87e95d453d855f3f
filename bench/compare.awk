# bench/compare.awk: the report of bench/compare, from the raw results of bench/measure.
#
#   awk -f compare.awk -v html=FILE -v json=FILE -v css=FILE bench/rows RAW
#
# A table to stdout, a page and JSON to the files.  For mawk and gawk; UTF-8 passes through as bytes, so the terminal's
# part is ASCII.
# Everything is a median over the repeats; rates are medians of the rates of the repeats.

# ---- input ----

function word_rest(n,   s, i) { s = $0; for (i = 0; i < n; i++) sub(/^[^ ]* /, "", s); return s }

FILENAME == ARGV[1] {
	if (/^#/ || !NF) next
	known[++n_known] = $1
	unit[$1] = $2
	s = $0; sub(/^[^ ]+ +[^ ]+ +[^ ]+ +/, "", s); title[$1] = s
	next
}
$1 == "meta" { meta[$2] = word_rest(2) }
$1 == "engine" { if ($3 == "ok") there[$2] = 1; else { missing[$2] = word_rest(3); n_missing++ } }
$1 == "value" { values[$2, $3] = values[$2, $3] " " $5; has_row[$3] = 1 }
$1 == "stat" {
	stat[$2, $3, $4, $5] = $6
	if (!seen_key[$5]++) key_list[++n_keys] = $5
	if ($5 == "uptime_ns") stat_rounds[$2, $3] = stat_rounds[$2, $3] " " $4
}
$1 == "fail" {
	n_fails++
	fail_engine[n_fails] = $2; fail_row[n_fails] = $3; fail_round[n_fails] = $4; fail_why[n_fails] = word_rest(4)
	failed[$2, $3] = failed[$2, $3] (failed[$2, $3] == "" ? "" : "; ") "repeat " $4 ": " fail_why[n_fails]
	has_row[$3] = 1
}
$1 == "log" { fail_log[n_fails] = fail_log[n_fails] word_rest(4) "\n" }

# ---- arithmetic ----

# The numbers of a list, sorted, in the global array sorted[]; how many.
function sort_list(list,   n, i, j, t) {
	split("", sorted)
	n = split(list, sorted, " ")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && sorted[j] + 0 < sorted[j - 1] + 0; j--) { t = sorted[j]; sorted[j] = sorted[j - 1]; sorted[j - 1] = t }
	return n
}
function median(list,   n) {
	n = sort_list(list)
	if (n == 0) return ""
	return (n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2) + 0
}
function least(list) { return sort_list(list) ? sorted[1] + 0 : "" }
function most(list,   n) { n = sort_list(list); return n ? sorted[n] + 0 : "" }
function mid(e, row) { return median(values[e, row]) }
function over(a, b) { return a == "" || b == "" || b + 0 == 0 ? "" : a / b }
function log10(x) { return log(x) / log(10) }
function floor(x,   i) { i = int(x); return i > x ? i - 1 : i }
function ceil(x,   i) { i = int(x); return i < x ? i + 1 : i }
function clamp(x, lo, hi) { return x < lo ? lo : x > hi ? hi : x }

# Of a row under an engine: the sum of these counters a second ("": no statistics).
function rates(e, row, keys,   r, n, i, j, m, sum, k, out, seconds) {
	n = split(stat_rounds[e, row], r, " ")
	m = split(keys, k, " ")
	out = ""
	for (i = 1; i <= n; i++) {
		seconds = stat[e, row, r[i], "uptime_ns"] / 1e9
		if (seconds <= 0) continue
		sum = 0
		for (j = 1; j <= m; j++) sum += stat[e, row, r[i], k[j]]
		out = out " " sum / seconds
	}
	return out
}
function rate(e, row, keys) { return median(rates(e, row, keys)) }
function has_stats(e, row) { return stat_rounds[e, row] != "" }

# ---- text ----

function show(x) {
	if (x == "") return "-"
	if (x >= 1000) return sprintf("%.0f", x)
	return x == 0 ? "0" : sprintf("%.3g", x)
}
function times(x) { return x == "" ? "-" : x >= 99.5 ? sprintf("%.0f", x) : x >= 9.95 ? sprintf("%.1f", x) : x < 0.0995 ? sprintf("%.3f", x) : sprintf("%.2f", x) }
function si(x) {
	if (x == "") return "-"
	if (x >= 1e6) return sprintf(x >= 99.95e6 ? "%.0fM" : x >= 9.995e6 ? "%.1fM" : "%.2fM", x / 1e6)
	if (x >= 1e3) return sprintf(x >= 99.95e3 ? "%.0fk" : x >= 9.995e3 ? "%.1fk" : "%.2fk", x / 1e3)
	return x >= 9.95 || x == 0 ? sprintf("%.0f", x) : sprintf("%.1f", x)
}
function percent(x) { return x == "" ? "-" : x == 0 ? "0" : x < 0.0995 ? sprintf("%.1f", x * 100) : sprintf("%.0f", x * 100) }
function esc(s) { gsub(/&/, "\\&amp;", s); gsub(/</, "\\&lt;", s); gsub(/>/, "\\&gt;", s); gsub(/"/, "\\&quot;", s); return s }
function quoted(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); gsub(/\t/, "\\t", s); gsub(/\n/, "\\n", s); return "\"" s "\"" }
function number(x) { return x == "" ? "null" : sprintf("%.9g", x) }
function w(s) { print s > html }
function put(s) { printf "%s", s > json }

# ---- tables of what there is to say ----

BEGIN {
	n_engines = split("native bt hw_kernel hw_user tcg qemu_kvm", engine, " ")
	label["native"] = "native";       long["native"] = "the same 32-bit program as a process of this host"
	label["bt"] = "bt";               long["bt"] = "Ringer, --mode=bt: binary translation"
	label["hw_kernel"] = "hw, kernel"; long["hw_kernel"] = "Ringer, --mode=hw --irqchip=kernel: KVM, interrupt controllers and timer in KVM"
	label["hw_user"] = "hw, user";     long["hw_user"] = "Ringer, --mode=hw --irqchip=user: KVM, interrupt controllers and timer in Ringer"
	label["tcg"] = "QEMU TCG";        long["tcg"] = "qemu-system-i386 -accel tcg -cpu max"
	label["qemu_kvm"] = "QEMU KVM";   long["qemu_kvm"] = "qemu-system-i386 -accel kvm -cpu host"
	n_ratios = split("bt/native bt/tcg hw_kernel/bt hw_user/bt hw_kernel/native hw_kernel/tcg hw_kernel/qemu_kvm", ratio, " ")

	# Why the guest's code was left: ID, TITLE, counters of bt, counters of hw.
	cause("syscall", "system calls", "exit_syscall_fast hot_syscalls exit_syscall_slow", "")
	cause("fault", "the guest's own page faults and exceptions", "faults_true exit_exception", "")
	cause("hidden", "page faults of the VMM's making: shadow filled, nested paging", "faults_hidden", "kvm_page_faults kvm_invlpg")
	cause("irq", "interrupts", "exit_interrupt", "kvm_host_irq kvm_irq_window")
	cause("dev", "devices: port I/O, MMIO", "callout_pio callout_mmio callout_emulate", "kvm_io kvm_mmio")
	cause("priv", "callouts for IRET, segments, flags, INT, strings", "callout_iret callout_segment callout_other callout_int callout_string", "")
	cause("cr", "callouts for control registers, MSRs, CPUID", "callout_cr callout_msr callout_cpuid", "")
	cause("hlt", "HLT", "callout_hlt", "kvm_halt")
	cause("other", "other exits that KVM counts: MSRs, CPUID, its own APIC ...", "", "*")
	signals = "sig_segv sig_bus sig_fpe sig_ill sig_trap sig_sys sig_kick"
	returns = "hw_exit_pio hw_exit_mmio hw_exit_msr hw_exit_hlt hw_exit_window hw_exit_signal hw_exit_other"

	slice("user", "ns_user", "bt: programs, running directly")
	slice("kernel", "ns_kernel", "bt: the translated kernel, with callouts")
	slice("guest", "ns_hw_guest", "hw: the guest's code")
	slice("kvm", "ns_hw_kernel", "hw: the host's kernel, KVM")
	slice("monitor", "ns_monitor", "Ringer: faults, translation, dispatch, devices")
	slice("idle", "ns_idle", "idle: the guest has halted")
}
function cause(id, what, bt, hw) {
	cause_id[++n_causes] = id; cause_title[n_causes] = what; cause_keys["bt", n_causes] = bt; cause_keys["hw", n_causes] = hw
	if (hw != "*") hw_named = hw_named " " hw
	bt_all = bt_all " " bt
}
function slice(id, counter, what) { slice_id[++n_slices] = id; slice_key[n_slices] = counter; slice_title[n_slices] = what; }
function kind(e) { return e == "bt" ? "bt" : e ~ /^hw_/ ? "hw" : "" }

# Exits a second in all, and of one cause.
function exit_rates(e, row) { return kind(e) == "bt" ? rates(e, row, bt_all) : rates(e, row, "kvm_exits") }
function cause_rate(e, row, c,   keys, x) {
	keys = cause_keys[kind(e), c]
	if (keys == "") return 0
	if (keys != "*") return rate(e, row, keys)
	x = rate(e, row, "kvm_exits") - rate(e, row, hw_named)
	return x > 0 ? x : 0
}
function shares(e, row,   c, sum) {
	sum = 0
	for (c = 1; c <= n_causes; c++) sum += share[c] = cause_rate(e, row, c)
	for (c = 1; c <= n_causes; c++) share[c] = sum ? share[c] / sum : 0
	return sum
}
function time_shares(e, row,   s, sum) {
	sum = 0
	for (s = 1; s <= n_slices; s++) sum += share[s] = rate(e, row, slice_key[s])
	for (s = 1; s <= n_slices; s++) share[s] = sum ? share[s] / sum : 0
	return sum
}
# Of share[]: the largest.
function mostly(   c, best) {
	best = 0
	for (c = 1; c <= n_causes; c++) if (share[c] > 0 && (!best || share[c] > share[best])) best = c
	return best
}

# ---- the terminal ----

function pad(s, n) { return sprintf("%" n "s", s) }
function terminal(   i, k, e, r, row, line, f, a, b, wide, c) {
	if ("lab" in meta) {
		print "INSIDE QEMU TCG: ratios between bt and hw there are those of an emulated CPU, not of hardware."
		print ""
	}
	print meta["cpu"] ", " meta["cpus"] " CPUs, Linux " meta["kernel"] "; guest " meta["guest"]
	print "medians of " meta["repeats"] (meta["repeats"] == 1 ? " repeat" : " repeats") "; load " meta["load"] " before, " (meta["load_after"] != "" ? meta["load_after"] : "?") " after"
	print ""
	wide = 36
	line = sprintf("%-" wide "s %-4s", "", "unit")
	for (k = 1; k <= n_present; k++) line = line pad(present[k], 11)
	line = line "  "
	for (k = 1; k <= n_shown; k++) line = line pad(ratio_name[k], 9)
	print line
	for (i = 1; i <= n_rows; i++) {
		row = rows[i]
		line = sprintf("%-" wide "s %-4s", substr(title[row], 1, wide), unit[row])
		for (k = 1; k <= n_present; k++) {
			e = present[k]
			line = line pad(values[e, row] != "" ? show(mid(e, row)) (failed[e, row] != "" ? "!" : "") : failed[e, row] != "" ? "FAILED" : "-", 11)
		}
		line = line "  "
		for (k = 1; k <= n_shown; k++) { split(shown[k], f, "/"); line = line pad(times(over(mid(f[1], row), mid(f[2], row))), 9) }
		print line
	}
	if (n_ringer) {
		print "\nRinger's statistics   (exits: bt's callouts, faults and exits from programs; hw's exits that KVM counts)"
		print sprintf("%-16s %-10s %8s %9s %9s  %-44s %6s %5s %8s %5s", "", "", "exits/s", "signals/s", "returns/s", "mostly", "guest%", "kvm%", "monitor%", "idle%")
		for (i = 1; i <= n_rows; i++)
			for (k = 1; k <= n_ringer; k++) {
				row = rows[i]; e = ringer[k]
				if (!has_stats(e, row)) continue
				shares(e, row); c = mostly()
				line = sprintf("%-16s %-10s %8s %9s %9s  %-44s", row, e, si(median(exit_rates(e, row))),
					si(rate(e, row, signals)), kind(e) == "hw" ? si(rate(e, row, returns)) : "-",
					c ? percent(share[c]) "% " substr(cause_title[c], 1, 39) : "")
				time_shares(e, row)
				print line sprintf(" %6s %5s %8s %5s", percent(share[1] + share[2] + share[3]), percent(share[4]), percent(share[5]), percent(share[6]))
			}
	}
	for (k = 1; k <= n_engines; k++)
		if (engine[k] in missing) print (first++ ? "" : "\nNot here:\n") sprintf("  %-10s %s", engine[k], missing[engine[k]])
	if (!n_present) print "\nNone of the engines asked for can run here."
	if (n_fails) print "\nFAILED:"
	for (i = 1; i <= n_fails; i++) {
		print "  " fail_engine[i] ", " fail_row[i] (fail_round[i] ? ", repeat " fail_round[i] : "") ": " fail_why[i]
		if (fail_log[i] != "") { line = fail_log[i]; sub(/\n$/, "", line); gsub(/\n/, "\n    | ", line); print "    | " line }
	}
}

# ---- the page: pieces ----

function color(id) { return "var(--" id ")" }
function key(id) { return "<span class=\"key\" style=\"background:" color(id) "\"></span>" }
function rect(x, y, width, height, id, tip) {
	return sprintf("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"1.5\" style=\"fill:%s\">%s</rect>", x, y, width < 0.8 ? 0.8 : width, height, color(id), tip == "" ? "" : "<title>" esc(tip) "</title>")
}
function vline(x, y1, y2, class) { return sprintf("<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>", x, x, y1, y2, class) }
function whisker(x1, x2, y, s) {
	if (x2 - x1 < 1) return ""
	return sprintf("<path d=\"M%.1f %.1fV%.1fM%.1f %.1fH%.1fM%.1f %.1fV%.1f\" class=\"whisker\" fill=\"none\"/>", x1, y - s, y + s, x1, y, x2, x2, y - s, y + s)
}
function text(x, y, anchor, s, class) { return sprintf("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>%s</text>", x, y, anchor, class == "" ? "" : " class=\"" class "\"", esc(s)) }
function svg(width, height, what) { return sprintf("<svg width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">", width, height, width, height, esc(what)) }
# 10^d as a reader wants it: 0.1, 1, 10, 1k, 1M
function decade(d) { return d < 0 ? sprintf("%." (-d) "f", 10 ^ d) : d >= 6 ? sprintf("%.0fM", 10 ^ (d - 6)) : d >= 3 ? sprintf("%.0fk", 10 ^ (d - 3)) : sprintf("%.0f", 10 ^ d) }
function range(list, n) { return n < 2 ? "" : show(least(list)) " … " show(most(list)) }
function count(list) { return sort_list(list) }

# ---- the page: how times compare ----

function ratio_x(v) { return RX + (clamp(log10(v), ratio_lo, ratio_hi) - ratio_lo) / (ratio_hi - ratio_lo) * RW }
function glance(   f, ref, i, k, e, row, d, y, m, base, v, s, n, lo, hi, cell, tip, h) {
	n = split("bt hw_kernel hw_user tcg qemu_kvm native", f, " ")
	for (k = n; k > 0; k--) if (n_of[f[k]]) ref = f[k]
	lo = -0.3; hi = 0.3
	for (i = 1; i <= n_rows; i++) for (k = 1; k <= n_present; k++) {
		v = over(mid(present[k], rows[i]), mid(ref, rows[i]))
		if (v == "" || v <= 0) continue
		if (log10(v) < lo) lo = log10(v)
		if (log10(v) > hi) hi = log10(v)
	}
	ratio_lo = floor(lo * 2 - 0.1) / 2; ratio_hi = ceil(hi * 2 + 0.1) / 2
	RX = 76; RW = 330
	w("<h2>How the engines compare</h2>")
	w("<p>Numbers are medians; smaller is better everywhere. Below each, in grey, its ratio to " esc(label[ref]) ". The bars show that ratio on a logarithmic scale: to the left is faster than " esc(label[ref]) ", to the right slower. Whiskers go from the smallest to the largest repeat.</p>")
	w("<div class=\"scroll\"><table><thead><tr><th>workload</th><th>unit</th>")
	for (k = 1; k <= n_present; k++) w("<th>" key(present[k]) esc(label[present[k]]) "</th>")
	s = svg(RX + RW + 40, 16, "axis")
	for (d = ceil(ratio_lo); d <= ratio_hi; d++) s = s text(RX + (d - ratio_lo) / (ratio_hi - ratio_lo) * RW, 12, "middle", "×" decade(d))
	w("<th class=\"chart\">" s "</svg></th></tr></thead><tbody class=\"ruled\">")
	for (i = 1; i <= n_rows; i++) {
		row = rows[i]; base = mid(ref, row)
		w("<tr><td class=\"wrap\">" esc(title[row]) "</td><td class=\"unit\">" unit[row] "</td>")
		n = 0
		for (k = 1; k <= n_present; k++) {
			e = present[k]; m = mid(e, row)
			cell = m == "" ? (failed[e, row] != "" ? "<span class=\"failed\" title=\"" esc(failed[e, row]) "\">failed</span>" : "–") : show(m)
			if (m != "" && failed[e, row] != "") cell = cell " <span class=\"failed\" title=\"" esc(failed[e, row]) "\">!</span>"
			if (m != "" && e != ref && base != "") cell = cell "<span class=\"sub\">×" times(over(m, base)) "</span>"
			w("<td>" cell "</td>")
			if (m != "") n++
		}
		h = n * 13 + 5
		s = svg(RX + RW + 40, h, title[row] ", relative to " label[ref])
		for (d = ceil(ratio_lo); d <= ratio_hi; d++) s = s vline(RX + (d - ratio_lo) / (ratio_hi - ratio_lo) * RW, 0, h, d == 0 ? "zero" : "grid")
		y = 3
		for (k = 1; k <= n_present && base != ""; k++) {
			e = present[k]; m = mid(e, row)
			if (m == "" || base <= 0) continue
			v = over(m, base)
			s = s text(RX - 6, y + 9, "end", label[e])
			tip = label[e] ": " show(m) " " unit[row] ", ×" times(v)
			if (e == ref) s = s rect(ratio_x(1) - 1.5, y, 3, 10, e, tip)
			else if (v > 0) s = s rect(v < 1 ? ratio_x(v) : ratio_x(1), y, ratio_x(v) > ratio_x(1) ? ratio_x(v) - ratio_x(1) : ratio_x(1) - ratio_x(v), 10, e, tip)
			if (least(values[e, row]) > 0) s = s whisker(ratio_x(least(values[e, row]) / base), ratio_x(most(values[e, row]) / base), y + 5, 3)
			y += 13
		}
		w("<td class=\"chart\">" (base == "" ? "<span class=\"soft\">no figure for " esc(label[ref]) "</span>" : s "</svg>") "</td></tr>")
	}
	w("</tbody></table></div>")
	if (n_shown) {
		w("<details open><summary>Ratios</summary><div class=\"scroll\"><table><thead><tr><th>workload</th>")
		for (k = 1; k <= n_shown; k++) { split(shown[k], f, "/"); w("<th>" esc(label[f[1]]) "<br>÷ " esc(label[f[2]]) "</th>") }
		w("</tr></thead><tbody class=\"ruled\">")
		for (i = 1; i <= n_rows; i++) {
			w("<tr><td>" esc(title[rows[i]]) "</td>")
			for (k = 1; k <= n_shown; k++) { split(shown[k], f, "/"); w("<td>" times(over(mid(f[1], rows[i]), mid(f[2], rows[i]))) "</td>") }
			w("</tr>")
		}
		w("</tbody></table></div></details>")
	}
}

function cards(   i, k, e, row, top, s, m, W) {
	W = 220
	w("<h2>Each workload</h2>")
	w("<p>Linear from zero, a scale of its own for each. A bar is the median, the whisker the smallest and the largest of the repeats.</p><div class=\"cards\">")
	for (i = 1; i <= n_rows; i++) {
		row = rows[i]; top = 0
		for (k = 1; k <= n_present; k++) if (values[present[k], row] != "" && most(values[present[k], row]) > top) top = most(values[present[k], row])
		w("<div class=\"card\"><h3>" esc(title[row]) " <span class=\"unit\">(" unit[row] ")</span></h3><table><thead><tr><th>engine</th><th class=\"chart\"></th><th>median</th><th>min … max</th><th>n</th></tr></thead><tbody>")
		for (k = 1; k <= n_present; k++) {
			e = present[k]; m = mid(e, row)
			if (m == "" && failed[e, row] == "") continue
			w("<tr><td>" key(e) esc(label[e]) "</td>")
			if (m == "") { w("<td class=\"left failed\" colspan=\"4\">failed</td></tr>"); continue }
			s = svg(W, 16, label[e] ": " show(m) " " unit[row]) vline(0.5, 0, 16, "zero")
			if (top > 0) {
				s = s rect(0.5, 2, m / top * (W - 4), 12, e, label[e] ": " show(m) " " unit[row])
				s = s whisker(0.5 + least(values[e, row]) / top * (W - 4), 0.5 + most(values[e, row]) / top * (W - 4), 8, 4)
			}
			w("<td class=\"chart\">" s "</svg></td><td>" show(m) (failed[e, row] != "" ? " <span class=\"failed\" title=\"" esc(failed[e, row]) "\">!</span>" : "") "</td><td class=\"soft\">" range(values[e, row], count(values[e, row])) "</td><td class=\"soft\">" count(values[e, row]) "</td></tr>")
		}
		w("</tbody></table></div>")
	}
	w("</div>")
}

# ---- the page: exits ----

function stack(W, what, n, ids, titles,   x, c, s, len) {
	s = svg(W, 16, what); x = 0
	for (c = 1; c <= n; c++) {
		len = share[c] * W
		if (len < 0.3) continue
		s = s sprintf("<rect x=\"%.1f\" y=\"1\" width=\"%.1f\" height=\"14\" class=\"gap\" style=\"fill:%s\"><title>%s</title></rect>", x, len, color(ids[c]), esc(titles[c] ": " percent(share[c]) " %"))
		x += len
	}
	return s "</svg>"
}
function legend(n, ids, titles, used,   c) {
	w("<div class=\"legend\">")
	for (c = 1; c <= n; c++) if (used[c]) w("<span>" key(ids[c]) esc(titles[c]) "</span>")
	w("</div>")
}
function rows_with_stats(   i, k, n) {
	n_stat_rows = 0
	for (i = 1; i <= n_rows; i++) {
		n = 0
		for (k = 1; k <= n_ringer; k++) n += has_stats(ringer[k], rows[i])
		if (n) { stat_row[++n_stat_rows] = rows[i]; stats_of[rows[i]] = n }
	}
}
function exits(   i, k, e, row, lo, hi, v, s, W, d, first, c, list, used, x) {
	w("<h2>Exits a second, and why</h2>")
	w("<p>How often the guest's code was left for something else, from Ringer's statistics: taken at the beginning and the end of each workload, while the guest waits, so the boot and other workloads are not in them (the boot has its own row, up to the first user instruction); the workload's own calibration is. For bt an exit is a callout, a page fault, or an exit from a program to the translated kernel; for hw, an exit that KVM counts, those it handles itself included. They are not the same thing and do not cost the same: look at what dominates, and at the time it takes (below). The first bars are logarithmic; the second show the composition.</p>")
	lo = 9; hi = 1
	for (i = 1; i <= n_stat_rows; i++) for (k = 1; k <= n_ringer; k++) {
		e = ringer[k]; row = stat_row[i]
		if (!has_stats(e, row)) continue
		v = median(exit_rates(e, row))
		if (v >= 1 && log10(v) < lo) lo = log10(v)
		if (v >= 1 && log10(v) > hi) hi = log10(v)
		shares(e, row)
		for (c = 1; c <= n_causes; c++) if (share[c] > 0) used[c] = 1
	}
	lo = floor(lo); hi = ceil(hi); if (lo >= hi) lo = hi - 1
	legend(n_causes, cause_id, cause_title, used)
	W = 150
	s = svg(W + 26, 16, "axis")
	for (d = lo; d <= hi; d++) if (hi - lo <= 4 || (d - lo) % 2 == 0) s = s text(2 + (d - lo) / (hi - lo) * W, 12, d == lo ? "start" : "middle", decade(d))
	w("<div class=\"scroll\"><table class=\"dense\"><thead><tr><th>workload</th><th class=\"left\">engine</th><th>exits/s</th><th class=\"chart\">" s "</svg></th><th class=\"chart\">of which</th><th class=\"left\">mostly</th><th>host<br>signals/s</th><th>hidden<br>faults/s</th><th>blocks<br>made/s</th>" (n_hw ? "<th>returns to<br>Ringer/s</th>" : "") "</tr></thead><tbody>")
	for (i = 1; i <= n_stat_rows; i++) {
		row = stat_row[i]; first = 1
		for (k = 1; k <= n_ringer; k++) {
			e = ringer[k]
			if (!has_stats(e, row)) continue
			w("<tr" (first ? " class=\"first\"" : "") ">" (first ? "<td class=\"wrap\" rowspan=\"" stats_of[row] "\">" esc(title[row]) "</td>" : "") "<td class=\"left\">" key(e) esc(label[e]) "</td>")
			first = 0
			list = exit_rates(e, row); v = median(list)
			s = svg(W + 26, 16, si(v) " exits a second")
			for (d = lo; d <= hi; d++) s = s vline(2 + (d - lo) / (hi - lo) * W, 0, 16, d == lo ? "zero" : "grid")
			if (v > 0) s = s rect(2, 2, x = (clamp(log10(v), lo, hi) - lo) / (hi - lo) * W, 12, e, si(v) " exits a second")
			if (least(list) > 0) s = s whisker(2 + (clamp(log10(least(list)), lo, hi) - lo) / (hi - lo) * W, 2 + (clamp(log10(most(list)), lo, hi) - lo) / (hi - lo) * W, 8, 4)
			shares(e, row); c = mostly()
			w("<td>" si(v) "</td><td class=\"chart\">" s "</svg></td><td class=\"chart\">" stack(170, "composition", n_causes, cause_id, cause_title) "</td><td class=\"left soft\">" (c ? percent(share[c]) " % " esc(brief(cause_title[c])) : "") "</td>")
			if (kind(e) == "bt") w("<td>" si(rate(e, row, signals)) "</td><td>" si(rate(e, row, "faults_hidden")) "</td><td>" si(rate(e, row, "blocks")) "</td>" (n_hw ? "<td>–</td>" : "") "</tr>")
			else w("<td>" si(rate(e, row, signals)) "</td><td>" si(rate(e, row, "kvm_page_faults")) "</td><td>–</td><td>" si(rate(e, row, returns)) "</td></tr>")
		}
	}
	w("</tbody></table></div>")
	counters()
}
function brief(s) { sub(/:.*/, "", s); sub(/^callouts for /, "", s); sub(/, INT, strings$/, "", s); sub(/control registers/, "CRs", s); sub(/ of the VMM.*/, ", hidden", s); sub(/^the guest's own /, "guest's ", s); sub(/ that KVM counts/, "", s); return s }
# Every counter that moved, a second.
function counters(   k, e, i, n, q, name, any, line, v) {
	for (k = 1; k <= n_ringer; k++) {
		e = ringer[k]
		if (!n_of[e]) continue
		w("<details><summary>All counters a second: " esc(label[e]) "</summary><div class=\"scroll\"><table><thead><tr><th>counter</th>")
		for (i = 1; i <= n_stat_rows; i++) w("<th>" stat_row[i] "</th>")
		w("</tr></thead><tbody class=\"ruled\">")
		for (q = 1; q <= n_keys; q++) {
			name = key_list[q]
			if (!is_rate(name)) continue
			any = 0; line = ""
			for (i = 1; i <= n_stat_rows; i++) {
				v = has_stats(e, stat_row[i]) ? rate(e, stat_row[i], name) : ""
				if (v != "" && v > 0) any = 1
				line = line "<td>" si(v) "</td>"
			}
			if (any) w("<tr><td><code>" name "</code></td>" line "</tr>")
		}
		w("</tbody></table></div></details>")
	}
}
function is_rate(name) { return name !~ /^(ns_|mem_|cache_|uptime_ns|translate_ns)/ }

function where_time(   i, k, e, row, s, first, used, t) {
	w("<h2>Where the time went</h2>")
	w("<p>Of the time between the same two points. Under bt Ringer accounts for every change of place; under hw the time in the guest is what the host's tick samples, so short visits of either kind are estimates, and KVM's halt polling and wake-ups are part of idle where KVM counts them so.</p>")
	for (i = 1; i <= n_stat_rows; i++) for (k = 1; k <= n_ringer; k++) {
		if (!has_stats(ringer[k], stat_row[i])) continue
		time_shares(ringer[k], stat_row[i])
		for (s = 1; s <= n_slices; s++) if (share[s] > 0) used[s] = 1
	}
	legend(n_slices, slice_id, slice_title, used)
	w("<div class=\"scroll\"><table class=\"dense\"><thead><tr><th>workload</th><th class=\"left\">engine</th><th class=\"chart\">of the time</th>")
	for (s = 1; s <= n_slices; s++) if (used[s]) w("<th>" key(slice_id[s]) short_slice(slice_id[s]) "<br>%</th>")
	w("<th>translating<br>%</th></tr></thead><tbody>")
	for (i = 1; i <= n_stat_rows; i++) {
		row = stat_row[i]; first = 1
		for (k = 1; k <= n_ringer; k++) {
			e = ringer[k]
			if (!has_stats(e, row)) continue
			w("<tr" (first ? " class=\"first\"" : "") ">" (first ? "<td class=\"wrap\" rowspan=\"" stats_of[row] "\">" esc(title[row]) "</td>" : "") "<td class=\"left\">" key(e) esc(label[e]) "</td>")
			first = 0
			t = time_shares(e, row)
			w("<td class=\"chart\">" stack(420, "where the time went", n_slices, slice_id, slice_title) "</td>")
			for (s = 1; s <= n_slices; s++) if (used[s]) w("<td>" (slice_of(e, s) ? percent(share[s]) : "<span class=\"soft\">–</span>") "</td>")
			w("<td>" (kind(e) == "bt" ? percent(over(rate(e, row, "translate_ns"), t)) : "<span class=\"soft\">–</span>") "</td></tr>")
		}
	}
	w("</tbody></table></div>")
}
function short_slice(id) { return id == "kvm" ? "KVM" : id == "user" ? "programs" : id }
function slice_of(e, s) { return slice_id[s] ~ /^(monitor|idle)$/ || (kind(e) == "bt") == (slice_id[s] ~ /^(user|kernel)$/) }

# ---- the page ----

function fact(name, value) { if (value != "") w("<dt>" esc(name) "</dt><dd>" esc(value) "</dd>") }
function page(   line, k, i, e, n) {
	w("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
	w("<title>Ringer: bt, hw and QEMU compared" ("lab" in meta ? ", in the lab" : "") "</title><style>")
	while ((getline line < css) > 0) w(line)
	w("</style></head><body>")
	w("<h1>Ringer: the engines compared</h1><p class=\"soft\">The same programs in the same guest under binary translation (bt), under KVM (hw), and under QEMU. " esc(meta["when"]) ".</p>")
	if ("lab" in meta)
		w("<div class=\"note\"><p><b>Measured inside QEMU TCG: ratios between bt and hw there are those of an emulated CPU, not of hardware.</b></p><p>The “host” is an x86-64 machine with SVM that QEMU emulates (scripts/svm-host). An exit from the guest, a page fault or a signal costs there what the emulator needs for it. Read this page for counts and for what works, not for speed.</p></div>")
	if (n_fails) {
		w("<div class=\"bad\"><p><b>" n_fails (n_fails == 1 ? " run failed." : " runs failed.") "</b></p>")
		for (i = 1; i <= n_fails; i++) {
			w("<p>" esc(fail_engine[i] in label ? label[fail_engine[i]] : fail_engine[i]) ", " esc(fail_row[i] in title ? title[fail_row[i]] : fail_row[i]) (fail_round[i] ? ", repeat " fail_round[i] : "") ": " esc(fail_why[i]) "</p>")
			if (fail_log[i] != "") w("<details><summary>the end of its console</summary><pre>" esc(fail_log[i]) "</pre></details>")
		}
		w("</div>")
	}
	w("<dl>")
	fact("lab" in meta ? "host (emulated)" : "host", meta["cpu"] ", " meta["cpus"] " CPUs, Linux " meta["kernel"])
	fact("on", meta["lab_host"])
	fact("guest", meta["guest"])
	fact("Ringer", meta["ringer"] ", revision " meta["revision"])
	if (!("lab" in meta)) fact("QEMU", meta["qemu"])
	else fact("QEMU (the lab)", meta["qemu"])
	fact("repeats", meta["repeats"] "; the engines take turns; idle is measured for " meta["idle"] " s")
	fact("load average", meta["load"] " before, " meta["load_after"] " after" (meta["load"] + 0 >= 1 ? ": this host was not idle" : ""))
	fact("command", meta["command"])
	w("</dl>")
	w("<table class=\"engines\"><tbody class=\"ruled\">")
	for (k = 1; k <= n_engines; k++) {
		e = engine[k]
		if (!(e in there) && !(e in missing)) continue
		w("<tr><td>" key(e) "<b>" esc(label[e]) "</b></td><td>" esc(long[e]) "</td><td>" (e in missing ? "<b>not here:</b> " esc(missing[e]) : n_of[e] ? "measured" : "<span class=\"failed\">nothing could be measured</span>") "</td></tr>")
	}
	w("</tbody></table>")
	if (n_present && n_rows) { glance(); cards() }
	rows_with_stats()
	if (n_stat_rows) { exits(); where_time() }
	w("<h2>About this page</h2><p>Made by <code>" esc(meta["command"]) "</code>. The same figures, every repeat of them: the .json file beside this page; the raw results: the .raw file, from which <code>bench/compare --report</code> makes this page again. How to read it, and what is not comparable: <code>docs/comparing.md</code> in Ringer's source.</p>")
	w("</body></html>")
}

# ---- for programs ----

function list_of(list,   a, n, i, s) { n = split(list, a, " "); s = ""; for (i = 1; i <= n; i++) s = s (i > 1 ? ", " : "") number(a[i]); return "[" s "]" }
function programs(   k, i, e, row, q, sep, sep2, name, x, f) {
	put("{\n  \"meta\": {"); sep = ""
	for (name in meta) if (meta[name] != "") { put(sep "\n    " quoted(name) ": " quoted(meta[name])); sep = "," }
	put("\n  },\n  \"lab\": " ("lab" in meta ? "true" : "false") ",\n  \"engines\": ["); sep = ""
	for (k = 1; k <= n_engines; k++) {
		e = engine[k]
		if (!(e in there) && !(e in missing)) continue
		put(sep "\n    { \"name\": " quoted(e) ", \"what\": " quoted(long[e]) ", \"available\": " (e in there ? "true" : "false") ", \"why_not\": " (e in missing ? quoted(missing[e]) : "null") " }"); sep = ","
	}
	put("\n  ],\n  \"rows\": ["); sep = ""
	for (i = 1; i <= n_rows; i++) {
		row = rows[i]
		put(sep "\n    { \"name\": " quoted(row) ", \"title\": " quoted(title[row]) ", \"unit\": " quoted(unit[row]) ",\n      \"results\": {"); sep = ","; sep2 = ""
		for (k = 1; k <= n_present; k++) {
			e = present[k]
			if (values[e, row] == "" && failed[e, row] == "") continue
			put(sep2 "\n        " quoted(e) ": { \"median\": " number(mid(e, row)) ", \"min\": " number(least(values[e, row])) ", \"max\": " number(most(values[e, row])) ", \"values\": " list_of(values[e, row]) ", \"failed\": " (failed[e, row] != "" ? quoted(failed[e, row]) : "null") " }"); sep2 = ","
		}
		put("\n      },\n      \"ratios\": {"); sep2 = ""
		for (k = 1; k <= n_shown; k++) {
			split(shown[k], f, "/"); x = over(mid(f[1], row), mid(f[2], row))
			if (x == "") continue
			put(sep2 " " quoted(shown[k]) ": " number(x)); sep2 = ","
		}
		put(" },\n      \"statistics\": {"); sep2 = ""
		for (k = 1; k <= n_ringer; k++) if (has_stats(ringer[k], row)) { put(sep2 "\n        " quoted(ringer[k]) ": "); statistics(ringer[k], row); sep2 = "," }
		put("\n      } }")
	}
	put("\n  ],\n  \"failures\": ["); sep = ""
	for (i = 1; i <= n_fails; i++) {
		put(sep "\n    { \"engine\": " quoted(fail_engine[i]) ", \"row\": " quoted(fail_row[i]) ", \"repeat\": " fail_round[i] ", \"why\": " quoted(fail_why[i]) ", \"console\": " quoted(fail_log[i]) " }"); sep = ","
	}
	put("\n  ]\n}\n")
}
function statistics(e, row,   q, name, sep, x, c, s) {
	put("{ \"exits_per_second\": " number(median(exit_rates(e, row))) ", \"exits_per_second_of\": {"); sep = ""
	for (c = 1; c <= n_causes; c++) if ((x = cause_rate(e, row, c)) > 0) { put(sep " " quoted(cause_id[c]) ": " number(x)); sep = "," }
	time_shares(e, row)
	put(" }, \"time\": {"); sep = ""
	for (s = 1; s <= n_slices; s++) { put(sep " " quoted(slice_id[s]) ": " number(share[s])); sep = "," }
	put(" },\n          \"counters_per_second\": {"); sep = ""
	for (q = 1; q <= n_keys; q++) {
		name = key_list[q]
		if (!is_rate(name) || (x = rate(e, row, name)) == "" || x <= 0) continue
		put(sep " " quoted(name) ": " number(x)); sep = ","
	}
	put(" } }")
}

END {
	# gawk 5.2 goes wrong on functions that are given an element that has never been assigned.
	for (k = 1; k <= n_engines; k++) for (i = 1; i <= n_known; i++) {
		values[engine[k], known[i]] = values[engine[k], known[i]] ""
		failed[engine[k], known[i]] = failed[engine[k], known[i]] ""
		stat_rounds[engine[k], known[i]] = stat_rounds[engine[k], known[i]] ""
	}
	n = split("cpu cpus kernel load load_after ringer command when repeats idle rows guest revision qemu lab_host", f, " ")
	for (i = 1; i <= n; i++) meta[f[i]] = meta[f[i]] ""
	for (i = 1; i <= n_fails; i++) fail_log[i] = fail_log[i] ""

	for (i = 1; i <= n_known; i++) if (has_row[known[i]] && (" " meta["rows"] " ") ~ (" " known[i] " ")) rows[++n_rows] = known[i]
	for (k = 1; k <= n_engines; k++) {
		e = engine[k]
		if (!(e in there)) continue
		present[++n_present] = e
		if (kind(e) != "") ringer[++n_ringer] = e
		n_hw += kind(e) == "hw"
		for (i = 1; i <= n_rows; i++) n_of[e] += values[e, rows[i]] != ""
	}
	abbreviation["native"] = "nat"; abbreviation["bt"] = "bt"; abbreviation["hw_kernel"] = "hwk"; abbreviation["hw_user"] = "hwu"
	abbreviation["tcg"] = "tcg"; abbreviation["qemu_kvm"] = "qkvm"
	for (k = 1; k <= n_ratios; k++) {
		split(ratio[k], f, "/")
		if (n_of[f[1]] && n_of[f[2]]) { shown[++n_shown] = ratio[k]; ratio_name[n_shown] = abbreviation[f[1]] "/" abbreviation[f[2]] }
	}
	terminal()
	page()
	programs()
}
