package httpd

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// series is what a metric's samples may be called and by which labels.
type series struct {
	labels    []string
	histogram bool
	// alias: "", or of which histogram this is _bucket, _sum or _count.
	bucket bool
}

// definedMetrics reads from the sources which metrics there are: each string
// that is a metric's name, and for vectors their labels.
func definedMetrics(t *testing.T) map[string]series {
	t.Helper()
	found := map[string]series{}
	name := regexp.MustCompile(`^"(postern_[a-z_]+[a-z])"$`)
	tree := os.DirFS("../..")
	for _, root := range []string{"internal", "graph", "store", "bridge"} {
		err := fs.WalkDir(tree, root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/generated/") {
				return err
			}
			source, err := fs.ReadFile(tree, path)
			if err != nil || !strings.Contains(string(source), `"postern_`) {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, source, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BasicLit:
					if m := name.FindStringSubmatch(n.Value); m != nil {
						if _, ok := found[m[1]]; !ok {
							found[m[1]] = series{}
						}
					}
				case *ast.CallExpr:
					if made, ok := n.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(made.Sel.Name, "New") {
						for metric, s := range vector(n, made.Sel.Name, name) {
							found[metric] = s
						}
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for metric, s := range maps.Clone(found) {
		if s.histogram {
			found[metric+"_bucket"] = series{labels: append(slices.Clone(s.labels), "le"), bucket: true}
			found[metric+"_sum"], found[metric+"_count"] = series{labels: s.labels}, series{labels: s.labels}
			delete(found, metric)
		}
	}
	return found
}

// vector gives the metric that a call makes, with the labels that the call
// lists.
func vector(call *ast.CallExpr, made string, name *regexp.Regexp) map[string]series {
	s := series{histogram: strings.Contains(made, "Histogram")}
	metric := ""
	for i, arg := range call.Args {
		if list, ok := arg.(*ast.CompositeLit); ok && i > 0 {
			if of, ok := list.Type.(*ast.ArrayType); ok {
				if elem, ok := of.Elt.(*ast.Ident); ok && elem.Name == "string" {
					for _, e := range list.Elts {
						if lit, ok := e.(*ast.BasicLit); ok {
							label, _ := strconv.Unquote(lit.Value)
							s.labels = append(s.labels, label)
						}
					}
					continue
				}
			}
		}
		if i > 0 {
			continue
		}
		ast.Inspect(arg, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && metric == "" {
				if m := name.FindStringSubmatch(lit.Value); m != nil {
					metric = m[1]
				}
			}
			return true
		})
	}
	if metric == "" {
		return nil
	}
	return map[string]series{metric: s}
}

// The words of PromQL that the dashboard may use beside names.
var promFunctions = map[string]bool{"sum": true, "max": true, "min": true, "rate": true, "increase": true, "delta": true, "histogram_quantile": true}

var (
	promToken    = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*|"[^"]*"|\$[a-z_]+|[0-9]+(\.[0-9]+)?[smhd]?|=~|!=|!~|[=(){}\[\],*/+-]|\s+`)
	promBraces   = map[string]string{")": "(", "}": "{", "]": "["}
	promOperator = map[string]bool{"=": true, "=~": true, "!=": true, "!~": true}
)

// checkExpr says what is wrong with a PromQL expression: names that do not
// exist, labels that its metric has not, braces that do not match.
func checkExpr(expr string, metrics map[string]series) (wrong []string) {
	var tokens, open []string
	rest := expr
	for rest != "" {
		at := promToken.FindStringIndex(rest)
		if at == nil || at[0] != 0 {
			return []string{"cannot be read from " + rest}
		}
		if word := rest[:at[1]]; strings.TrimSpace(word) != "" {
			tokens = append(tokens, word)
		}
		rest = rest[at[1]:]
	}
	grouped, ranged := []string{}, 0
	var named []string
	for i := 0; i < len(tokens); i++ {
		word := tokens[i]
		next := ""
		if i+1 < len(tokens) {
			next = tokens[i+1]
		}
		switch {
		case word == "(" || word == "{" || word == "[":
			open = append(open, word)
			if word == "[" {
				ranged++
			}
		case promBraces[word] != "":
			if len(open) == 0 || open[len(open)-1] != promBraces[word] {
				return append(wrong, "its braces do not match")
			}
			open = open[:len(open)-1]
		case word == "by":
			for i += 2; i < len(tokens) && tokens[i] != ")"; i++ {
				if tokens[i] != "," {
					grouped = append(grouped, tokens[i])
				}
			}
		case promFunctions[word]:
			if next != "(" && next != "by" {
				wrong = append(wrong, word+" is called with nothing")
			}
		case len(open) > 0 && open[len(open)-1] == "{" && promOperator[next]:
			if metric := named[len(named)-1]; word != "job" && word != "instance" && !slices.Contains(metrics[metric].labels, word) {
				wrong = append(wrong, metric+" has no label "+word)
			}
		case regexp.MustCompile(`^[a-zA-Z_:]`).MatchString(word):
			if _, ok := metrics[word]; !ok {
				wrong = append(wrong, "there is no metric "+word)
			}
			named = append(named, word)
		}
	}
	if len(open) > 0 {
		wrong = append(wrong, "its braces do not match")
	}
	if len(named) == 0 {
		wrong = append(wrong, "it names no metric")
	}
	for _, metric := range named {
		for _, label := range grouped {
			if !slices.Contains(metrics[metric].labels, label) {
				wrong = append(wrong, metric+" is grouped by "+label+", which it has not")
			}
		}
		if metrics[metric].bucket != strings.Contains(expr, "histogram_quantile") {
			wrong = append(wrong, metric+": quantiles are of buckets, and buckets for quantiles")
		}
		if metric != "" && strings.HasSuffix(metric, "_total") && ranged == 0 {
			wrong = append(wrong, metric+" only grows: ask for its rate")
		}
	}
	return wrong
}

// TestDashboard: what /metrics/dashboard.json serves is a dashboard that
// Grafana takes, each of whose queries asks for what exists; and every metric
// is on it.
func TestDashboard(t *testing.T) {
	resp := newDoor().do("GET", "/metrics/dashboard.json", "")
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("answered %d %s, %v", resp.StatusCode, resp.Header.Get("Content-Type"), err)
	}
	type source struct{ Type, UID string }
	var board struct {
		Title, UID    string
		SchemaVersion int
		Templating    struct {
			List []struct{ Name, Type string }
		}
		Panels []struct {
			ID          int
			Type, Title string
			GridPos     struct{ H, W, X, Y int }
			Datasource  source
			FieldConfig *struct{ Defaults struct{ Unit string } }
			Targets     []struct{ RefID, Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(body, &board); err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{}
	for _, v := range board.Templating.List {
		variables[v.Name] = v.Type
	}
	if board.Title == "" || board.UID == "" || board.SchemaVersion < 30 || variables["datasource"] != "datasource" || variables["job"] != "query" {
		t.Errorf("title %q, uid %q, schema %d, variables %v", board.Title, board.UID, board.SchemaVersion, variables)
	}
	metrics := definedMetrics(t)
	shown, ids, rows := map[string]bool{}, map[int]bool{}, []string{}
	taken := map[[2]int]string{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %q has the id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies over %q or beside the grid", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if p.Type != "timeseries" && p.Type != "stat" || p.Datasource != (source{"prometheus", "${datasource}"}) || p.FieldConfig == nil || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %q: type %q, source %v, %d queries", p.Title, p.Type, p.Datasource, len(p.Targets))
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if refs[target.RefID] || target.RefID == "" || target.LegendFormat == "" {
				t.Errorf("panel %q: query %q, legend %q", p.Title, target.RefID, target.LegendFormat)
			}
			refs[target.RefID] = true
			for _, wrong := range checkExpr(target.Expr, metrics) {
				t.Errorf("panel %q: %s: %s", p.Title, target.Expr, wrong)
			}
			for _, label := range regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if !regexp.MustCompile(`by \([^)]*\b` + label[1] + `\b`).MatchString(target.Expr) {
					t.Errorf("panel %q: the legend names %s, by which %s is not grouped", p.Title, label[1], target.Expr)
				}
			}
			for metric := range metrics {
				if regexp.MustCompile(`\b` + metric + `\b`).MatchString(target.Expr) {
					shown[strings.TrimSuffix(metric, "_bucket")] = true
					shown[strings.TrimSuffix(metric, "_count")] = true
				}
			}
		}
	}
	if want := []string{"Sync", "Providers", "Outbox", "Dead letters", "Submissions", "Store", "HTTP", "Mail programs"}; !slices.Equal(rows, want) {
		t.Errorf("rows %v, want %v", rows, want)
	}
	for _, metric := range slices.Sorted(maps.Keys(metrics)) {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(metric, "_bucket"), "_sum"), "_count")
		if !shown[base] && !shown[metric] {
			t.Errorf("%s is on no panel", metric)
		}
	}
}

// TestExpressionsAreChecked: the check finds what it is there for.
func TestExpressionsAreChecked(t *testing.T) {
	metrics := map[string]series{
		"postern_a_total": {labels: []string{"kind"}}, "postern_b": {},
		"postern_c_bucket": {labels: []string{"verb", "le"}, bucket: true}, "postern_c_count": {labels: []string{"verb"}},
	}
	for expr, want := range map[string]string{
		`sum by (kind) (rate(postern_a_total{job=~"$job",kind!="ok"}[$__rate_interval]))`:        "",
		`histogram_quantile(0.99, sum by (le, verb) (rate(postern_c_bucket[$__rate_interval])))`: "",
		`sum(postern_b)`: "",
		`sum(postern_x)`: "no metric postern_x",
		`sum(postern_c)`: "no metric postern_c",
		`sum by (verb) (rate(postern_a_total[5m]))`:               "grouped by verb",
		`sum(rate(postern_a_total{verb="x"}[5m]))`:                "no label verb",
		`sum(postern_a_total)`:                                    "ask for its rate",
		`sum(postern_b`:                                           "braces",
		`sum(postern_b])`:                                         "braces",
		`total(postern_b)`:                                        "no metric total",
		`histogram_quantile(0.5, sum(rate(postern_c_count[5m])))`: "quantiles are of buckets",
		`1 + 1`:             "names no metric",
		`sum(postern_b) %%`: "cannot be read",
	} {
		got := strings.Join(checkExpr(expr, metrics), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}
