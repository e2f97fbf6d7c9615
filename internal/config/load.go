package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Load reads a file (none where name is empty), the environment (as
// os.Environ gives it) and settings of the form path=value, then checks the
// whole. All that is wrong is said at once.
func Load(name string, environ []string, sets []string) (*Config, error) {
	c := Default()
	if name != "" {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		if err := Parse(raw, c); err != nil {
			return nil, fmt.Errorf("read configuration %s: %w", name, err)
		}
	}
	if err := fromEnviron(c, environ); err != nil {
		return nil, err
	}
	for _, s := range sets {
		path, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("--set %s: want path=value", s)
		}
		if err := Set(c, path, value); err != nil {
			return nil, fmt.Errorf("--set %s: %w", path, err)
		}
	}
	return c, errors.Join(checkEnviron(c, environ), Validate(c))
}

// Parse reads YAML over c. A setting that does not exist is an error.
func Parse(raw []byte, c *Config) error {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	err := dec.Decode(c)
	if errors.Is(err, io.EOF) {
		return nil
	}
	var wrong *yaml.TypeError
	if errors.As(err, &wrong) {
		return errors.New(inOurWords(wrong.Errors))
	}
	return err
}

// noField is how the library tells of a setting that there is not.
var noField = regexp.MustCompile(`field (\S+) not found in type config\.\w+`)

// inOurWords tells what is wrong with a file, by lines, without the names of Go's
// types where it is that a setting does not exist.
func inOurWords(wrong []string) string {
	out := make([]string, len(wrong))
	for i, w := range wrong {
		out[i] = noField.ReplaceAllString(w, `there is no setting "$1" here`)
	}
	return strings.Join(out, "; ")
}

// Paths lists the settings that Set knows, sorted.
func Paths() []string {
	var out []string
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		for i := range t.NumField() {
			f := t.Field(i)
			path := prefix + f.Tag.Get("yaml")
			switch f.Type.Kind() {
			case reflect.Struct:
				walk(f.Type, path+".")
			case reflect.Map:
			default:
				out = append(out, path)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	slices.Sort(out)
	return out
}

// Set sets one setting by its path in the file: "http.listen", or
// "providers.NAME.settings.KEY", or "webhooks.expire.TYPE". Lists are separated by commas.
func Set(c *Config, path, value string) error {
	if rest, ok := strings.CutPrefix(path, "providers."); ok {
		return setProvider(c, rest, value)
	}
	if kind, ok := strings.CutPrefix(path, "webhooks.expire."); ok {
		return setExpire(c, kind, value)
	}
	v := reflect.ValueOf(c).Elem()
	for part := range strings.SplitSeq(path, ".") {
		next, ok := field(v, part)
		if !ok {
			return fmt.Errorf("there is no setting %q", path)
		}
		v = next
	}
	return setValue(v, value)
}

func setProvider(c *Config, path, value string) error {
	name, key, _ := strings.Cut(path, ".")
	p := c.Providers[name]
	if setting, ok := strings.CutPrefix(key, "settings."); ok && setting != "" {
		settings := map[string]string{}
		for k, v := range p.Settings {
			settings[k] = v
		}
		settings[setting] = value
		p.Settings = settings
	} else {
		v, ok := field(reflect.ValueOf(&p).Elem(), key)
		if !ok {
			return fmt.Errorf("there is no setting providers.%s", path)
		}
		if err := setValue(v, value); err != nil {
			return err
		}
	}
	if c.Providers == nil {
		c.Providers = map[string]Provider{}
	}
	c.Providers[name] = p
	return nil
}

// setExpire sets how long one type of event is tried.
func setExpire(c *Config, kind, value string) error {
	var d time.Duration
	if err := setValue(reflect.ValueOf(&d).Elem(), value); err != nil {
		return err
	}
	expire := map[string]time.Duration{kind: d}
	for k, v := range c.Webhooks.Expire {
		if k != kind {
			expire[k] = v
		}
	}
	c.Webhooks.Expire = expire
	return nil
}

func field(v reflect.Value, name string) (reflect.Value, bool) {
	if v.Kind() != reflect.Struct {
		return v, false
	}
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == name {
			return v.Field(i), true
		}
	}
	return v, false
}

func setValue(v reflect.Value, value string) error {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(value)
		if err != nil {
			return fmt.Errorf("%q is no duration such as 30s or 10m", value)
		}
		v.SetInt(int64(d))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(value)
	case reflect.Bool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", value)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is no whole number", value)
		}
		v.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("%q is no number", value)
		}
		v.SetFloat(f)
	case reflect.Slice:
		list := []string{}
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
		if v.Type().Elem().Kind() != reflect.Int {
			v.Set(reflect.ValueOf(list))
			break
		}
		numbers := []int{}
		for _, item := range list {
			n, err := strconv.Atoi(item)
			if err != nil {
				return fmt.Errorf("%q is no whole number", item)
			}
			numbers = append(numbers, n)
		}
		v.Set(reflect.ValueOf(numbers))
	default:
		return errors.New("this is a list of names with values: set one of them, as in webhooks.expire.TYPE=1h")
	}
	return nil
}

var instanceName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Resolve gives a provider's settings with "env:" and "file:" values read.
func (p Provider) Resolve(getenv func(string) (string, bool)) (map[string]string, error) {
	out := map[string]string{}
	for key, value := range p.Settings {
		if name, ok := strings.CutPrefix(value, "env:"); ok {
			v, set := getenv(name)
			if !set {
				return nil, fmt.Errorf("settings.%s: the environment variable %s is not set", key, name)
			}
			value = v
		} else if name, ok := strings.CutPrefix(value, "file:"); ok {
			raw, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("settings.%s: %w", key, err)
			}
			value = strings.TrimRight(string(raw), "\r\n")
		}
		out[key] = value
	}
	return out, nil
}
