package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

const envPrefix = "POSTERN_"

// variable is the environment variable that sets a setting: POSTERN_A_B for a.b.
func variable(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// fromEnviron applies POSTERN_A_B=value to a.b. The variable that holds the
// master key itself is no setting.
func fromEnviron(c *Config, environ []string) error {
	paths := map[string]string{}
	for _, p := range Paths() {
		paths[variable(p)] = p
	}
	var errs []error
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		path, ok := paths[name]
		if !ok || name == c.MasterKey.Env {
			continue
		}
		if err := Set(c, path, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// checkEnviron refuses variables that look like settings and are none: one
// that is mistyped would otherwise be passed over in silence. It is called
// once all settings are known, since they may name variables themselves.
func checkEnviron(c *Config, environ []string) error {
	known := map[string]bool{}
	for _, p := range Paths() {
		known[variable(p)] = true
	}
	used := usedVariables(c)
	var errs []error
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, envPrefix) || known[name] || used[name] || foreign(name, value) {
			continue
		}
		if path := mapOf(name); path != "" {
			errs = append(errs, fmt.Errorf("%s: %s is a list of names with values and cannot come from the environment; write it into the file, or use --set", name, path))
			continue
		}
		errs = append(errs, fmt.Errorf("%s: there is no such setting; did you mean %s?", name, nearest(name, known)))
	}
	return errors.Join(errs...)
}

// usedVariables are those that are read, though not as settings.
func usedVariables(c *Config) map[string]bool {
	used := map[string]bool{
		variable("master_key"): true, // master_key.env's default
		c.MasterKey.Env:        true,
		envPrefix + "API_KEY":  true, // postern graphql
		envPrefix + "HOST":     true, // compose.yaml
	}
	for _, p := range c.Providers {
		for _, value := range p.Settings {
			if name, ok := strings.CutPrefix(value, "env:"); ok {
				used[name] = true
			}
		}
	}
	return used
}

// foreign reports whether a variable is one that others set: Postern's own
// tests and benchmarks, its plugins' host, and Kubernetes and Docker, which put
// SERVICE_HOST, PORT and the like behind the name of a service "postern".
func foreign(name, value string) bool {
	for _, prefix := range []string{"TEST_", "E2E_", "BENCH_", "PLUGIN_"} {
		if strings.HasPrefix(name, envPrefix+prefix) {
			return true
		}
	}
	return name == envPrefix+"PLUGIN" || serviceLink.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

var serviceLink = regexp.MustCompile(`_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_[A-Z]+)?$`)

// mapOf gives the setting with names of its own that a variable would be in,
// empty where there is none.
func mapOf(name string) string {
	found := ""
	leaves(reflect.ValueOf(Config{}), "", func(path string, v reflect.Value) {
		if v.Kind() == reflect.Map && (name == variable(path) || strings.HasPrefix(name, variable(path)+"_")) {
			found = path
		}
	})
	return found
}

// leaves calls fn with every setting that is no section.
func leaves(v reflect.Value, prefix string, fn func(path string, v reflect.Value)) {
	for i := range v.NumField() {
		path := prefix + v.Type().Field(i).Tag.Get("yaml")
		if f := v.Field(i); f.Kind() == reflect.Struct {
			leaves(f, path+".", fn)
		} else {
			fn(path, f)
		}
	}
}

// nearest gives the name with the fewest differences.
func nearest(name string, known map[string]bool) string {
	best, least := "", len(name)+1000
	for k := range known {
		if d := distance(name, k); d < least || d == least && k < best {
			best, least = k, d
		}
	}
	return best
}

// distance is how many characters must be put in, taken out or exchanged.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			exchanged := diagonal
			if a[i] != b[j] {
				exchanged++
			}
			diagonal = row[j+1]
			row[j+1] = min(exchanged, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// NeedRestart lists the settings that differ and are read at the start alone,
// sorted. Those that Gateway.Reload takes are not among them.
func NeedRestart(before, after *Config) []string {
	read := []string{"providers", "disk.min_free", "webhooks.allow", "webhooks.allow_http", "webhooks.allow_ports"}
	was := map[string]any{}
	leaves(reflect.ValueOf(*before), "", func(path string, v reflect.Value) { was[path] = v.Interface() })
	var out []string
	leaves(reflect.ValueOf(*after), "", func(path string, v reflect.Value) {
		if !slices.Contains(read, path) && !reflect.DeepEqual(was[path], v.Interface()) {
			out = append(out, path)
		}
	})
	slices.Sort(out)
	return out
}
