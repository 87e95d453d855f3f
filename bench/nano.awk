# The tables of bench/nano, from nano.rows and nano.raw; md and json are the files to write.
function sort(v, n,   i, j, t) {
	for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] + 0 < v[j - 1] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
}
function median(list,   v, n) {
	n = split(list, v, " ")
	if (n == 0) return ""
	sort(v, n)
	return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
function cycles(x) { return x == "" ? "-" : x < 9.95 ? sprintf("%.1f", x) : sprintf("%.0f", x) }
function ns(x) { return x == "" || !khz ? "-" : x / khz * 1e6 < 99.5 ? sprintf("%.1f", x / khz * 1e6) : sprintf("%.0f", x / khz * 1e6) }
function over(a, b) { return a == "" || b == "" || b + 0 <= 0 ? "-" : a / b < 9.95 ? sprintf("%.2f", a / b) : sprintf("%.0f", a / b) }
function mark(e, r) { return (e, r) in noisy && noisy[e, r] * 2 > count[e, r] ? "~" : "" }
function complain(text) { if (!(text in said)) { said[text]; complaints[++n_complaints] = text } }

FNR == NR {
	if ($0 !~ /^#/ && NF) {
		name[++n_rows] = $1; paper[n_rows] = $2; $1 = $2 = ""; sub(/^ +/, ""); title[n_rows] = $0
	}
	next
}
$1 == "meta" { key = $2; $1 = $2 = ""; sub(/^ +/, ""); meta[key] = $0; next }
$3 == "FAILED" { complain($1 ", round " $2 ": " $4 " " $5 (last[$1, $2] != "" ? ", after: " last[$1, $2] : "")); next }
$3 == "NANO-TSC" { tsc[$1] = tsc[$1] " " $4 }
$3 == "NANO" && NF == 11 {
	e = $1; r = $4; t = ($7 - $10) / $6
	if ($11 != "ok") { complain(e ", " r ": " $11); next }
	# An operation that hides behind its loop may come out a little below zero, not more.
	if (t < -0.5) { complain(e ", " r ": " cycles(t) " cycles, less than the loop without it"); next }
	if (t < 0) t = 0
	values[e, r] = values[e, r] " " t; count[e, r]++
	if ($9 - $10 > 1.5 * ($8 - $10)) noisy[e, r]++
}
{ last[$1, $2] = substr($0, length($1 $2) + 3) }

END {
	n_engines = split(meta["engines"], engine, " ")
	khz = median(tsc["bt"] != "" ? tsc["bt"] : tsc["tcg"])
	for (i = 1; i <= n_engines; i++) {
		e = engine[i]
		if (tsc[e] != "" && khz && (median(tsc[e]) / khz > 1.01 || median(tsc[e]) / khz < 0.99))
			complain(e ": its TSC runs at " median(tsc[e]) " kHz, bt's at " khz)
	}
	about = sprintf("%s; TSC %.0f MHz; medians of %d rounds of %d samples; load %s; revision %s%s", meta["host"], khz / 1000,
		meta["rounds"], meta["samples"], meta["load"], meta["revision"], meta["lab"] ? "; in the lab, where the CPU is emulated" : "")
	head = sprintf("%-63s", "cycles")
	mdhead = "| operation |"; rule = "| --- |"
	for (i = 1; i <= n_engines; i++) {
		head = head sprintf(" %9s", engine[i]); mdhead = mdhead " " engine[i] " |"; rule = rule " --- |"
	}
	print about "\n\n" head sprintf(" %9s %7s  %s", "bt, ns", "bt/tcg", "2006: native/BT/VT-x")
	print "# Nanobenchmark\n\n" about ".\n\n" mdhead " bt, ns | bt ÷ tcg | 2006: native / BT / VT-x |\n" rule " --- | --- | --- |" > md
	printf "{ \"about\": \"%s\", \"tsc_khz\": %d, \"rows\": [", about, khz > json
	for (k = 1; k <= n_rows; k++) {
		r = name[k]; line = sprintf("%-63s", sprintf("%-14s %s", r, title[k])); mdline = "| " title[k] " |"; any = 0; fields = ""
		for (i = 1; i <= n_engines; i++) {
			v = median(values[engine[i], r])
			if (v != "") { any = 1; fields = fields sprintf(", \"%s\": %.2f", engine[i], v) }
			line = line sprintf(" %9s", cycles(v) mark(engine[i], r)); mdline = mdline " " cycles(v) " |"
		}
		if (!any) continue
		bt = median(values["bt", r]); q = median(values["tcg", r]); old = paper[k]
		print line sprintf(" %9s %7s  %s", ns(bt), over(bt, q), old)
		gsub("/", " / ", old)
		print mdline " " ns(bt) " | " over(bt, q) " | " old " |" > md
		printf "%s\n  { \"name\": \"%s\"%s }", shown++ ? "," : "", r, fields > json
	}
	print "\n] }" > json
	if (!shown) complain("nothing was measured")
	for (i = 1; i <= n_complaints; i++) print (i == 1 ? "\n" : "") "NOT TRUSTED: " complaints[i]
	print "\nDetails: " md
	exit n_complaints > 0
}
