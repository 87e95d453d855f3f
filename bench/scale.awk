# The tables of bench/scale, from scale.rows and scale.raw; md and json are the files to write, wanted the rows.
function median(list,   v, n, i, j, t) {
	n = split(list, v, " ")
	if (n == 0) return ""
	for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] + 0 < v[j - 1] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
	return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
function show(x) { return x == "" ? "-" : x + 0 >= 100 ? sprintf("%.0f", x) : sprintf("%.3g", x) }
function over(a, b) { return a == "" || b == "" || b + 0 == 0 ? "" : a / b }

FNR == NR {
	if ($0 !~ /^#/ && NF) { name[++n_rows] = $1; unit[n_rows] = $2; $1 = $2 = ""; sub(/^ +/, ""); title[n_rows] = $0 }
	next
}
$1 == "meta" { key = $2; $1 = $2 = ""; sub(/^ +/, ""); meta[key] = $0; next }
$3 == "FAILED" { complaints[++n_complaints] = $1 ", round " $2 ": " $4 " " $5; next }
$3 == "ROW" { values[$1, $4] = values[$1, $4] " " $5; next }
{ complaints[++n_complaints] = $0 }

END {
	n_engines = split(meta["engines"], engine, " ")
	about = sprintf("%s; guest %s; medians of %d rounds; load %s; revision %s", meta["host"], meta["guest"], meta["rounds"], meta["load"], meta["revision"])
	head = sprintf("%-65s %-4s", "", "unit"); mdhead = "| row | unit |"; rule = "| --- | --- |"
	for (i = 1; i <= n_engines; i++) { head = head sprintf(" %9s", engine[i]); mdhead = mdhead " " engine[i] " |"; rule = rule " --- |" }
	print about "\n\n" head "    bt/nat    bt/tcg"
	print "# Scaling\n\n" about ".\n\n" mdhead " bt ÷ native | bt ÷ tcg |\n" rule " --- | --- |" > md
	printf "{ \"about\": \"%s\", \"rows\": [", about > json
	for (k = 1; k <= n_rows; k++) {
		r = name[k]; any = fields = ""
		line = sprintf("%-65s %-4s", sprintf("%-13s %s", r, title[k]), unit[k]); mdline = "| " title[k] " | " unit[k] " |"
		for (i = 1; i <= n_engines; i++) {
			v = median(values[engine[i], r])
			if (v != "") { any = 1; fields = fields sprintf(", \"%s\": %.6g", engine[i], v) }
			else if (index(wanted, " " r " ") && engine[i] !~ /^pool[0-9]/) complaints[++n_complaints] = engine[i] ": no figure for " r
			line = line sprintf(" %9s", show(v)); mdline = mdline " " show(v) " |"
		}
		if (!any) continue
		a = show(over(median(values["bt", r]), median(values["native", r]))); b = show(over(median(values["bt", r]), median(values["tcg", r])))
		print line sprintf(" %9s %9s", a, b)
		print mdline " " a " | " b " |" > md
		printf "%s\n  { \"name\": \"%s\", \"unit\": \"%s\"%s }", shown++ ? "," : "", r, unit[k], fields > json
	}
	print "\n] }" > json
	for (i = 1; i <= n_complaints; i++) print (i == 1 ? "\n" : "") "FAILED: " complaints[i]
	print "\nDetails: " md
	exit n_complaints > 0
}
