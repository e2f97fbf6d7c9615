package main

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"github.com/postern-mail/postern/internal/config"
)

// What of Dockerfile and compose.yaml can be checked without an engine is
// checked here: that they agree with the programs, the settings and each other.

const repository = "../.."

// instruction is one line of a Dockerfile, continuations joined.
type instruction struct{ name, args string }

// stage is what lies between one FROM and the next.
type stage struct {
	name, base string
	lines      []instruction
}

func (s *stage) all(name string) (out []string) {
	for _, l := range s.lines {
		if l.name == name {
			out = append(out, l.args)
		}
	}
	return out
}

// readDockerfile gives the stages, and the arguments before the first.
func readDockerfile(t *testing.T) (stages []*stage, args map[string]string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
	args = map[string]string{}
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(raw), "")
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch {
		case !slices.Contains(known, name):
			t.Errorf("Dockerfile: no instruction %q", name)
		case name == "FROM":
			base, as, ok := strings.Cut(rest, " AS ")
			if !ok {
				t.Errorf("Dockerfile: the stage from %s has no name", rest)
			}
			stages = append(stages, &stage{name: as, base: os.Expand(base, func(s string) string { return args[s] })})
		case len(stages) == 0:
			key, value, _ := strings.Cut(rest, "=")
			args[key] = value
		default:
			s := stages[len(stages)-1]
			s.lines = append(s.lines, instruction{name, rest})
		}
	}
	return stages, args
}

func words(t *testing.T, array string) (out []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(array), &out); err != nil || len(out) == 0 {
		t.Errorf("%s: want the form of a JSON array, since there is no shell: %v", array, err)
	}
	return out
}

// command checks that our command line understands a container's, and gives
// the command's name.
func command(t *testing.T, line []string) string {
	t.Helper()
	if line[0] != "/usr/local/bin/postern" {
		t.Errorf("%q is no program of the image", line[0])
	}
	var c cli
	parser, err := kong.New(&c, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(line[1:])
	if err != nil {
		t.Errorf("%q is no command of ours: %v", line, err)
		return ""
	}
	return parsed.Command()
}

func TestDockerfile(t *testing.T) {
	stages, _ := readDockerfile(t)
	byName := map[string]*stage{}
	for _, s := range stages {
		if byName[s.base] == nil {
			if _, tag, ok := strings.Cut(s.base[strings.LastIndex(s.base, "/")+1:], ":"); !ok || tag == "latest" {
				t.Errorf("stage %s: the base %q has no tag of its own", s.name, s.base)
			}
		}
		for _, line := range s.all("COPY") {
			checkCopy(t, s, byName, line)
		}
		byName[s.name] = s
	}
	build := strings.Join(byName["build"].all("RUN"), "\n")
	if !strings.Contains(build, "CGO_ENABLED=0 go build") {
		t.Error("the programs are not built static")
	}
	for _, dir := range regexp.MustCompile(`\./cmd/\S+`).FindAllString(build, -1) {
		if found, err := filepath.Glob(filepath.Join(repository, dir, "main.go")); err != nil || len(found) == 0 {
			t.Errorf("what is built is not there: %s, %v", dir, err)
		}
	}
	if _, version, _ := strings.Cut(byName["build"].base, "golang:"); !strings.HasPrefix(version, goVersion(t)) {
		t.Errorf("built by Go %s, go.mod demands %s", version, goVersion(t))
	}
	last := stages[len(stages)-1]
	if last.name != "gateway" || last.base != "runtime" || byName["demo"] == nil {
		t.Errorf("the last stage is %s from %s", last.name, last.base)
	}
	if user := byName["runtime"].all("USER"); len(user) != 1 || !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user[0]) {
		t.Errorf("USER %v: want a number that is not root's", user)
	}
	for _, s := range stages {
		if s.name != "build" && strings.Contains(strings.Join(s.all("COPY"), "\n"), "postern-sandbox") != (s.name == "demo") {
			t.Errorf("stage %s: the sandbox belongs into the demo and nowhere else", s.name)
		}
	}
	env := map[string]string{}
	for _, pair := range strings.Fields(strings.Join(last.all("ENV"), " ")) {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	cfg := fromEnvironment(t, env)
	var ports []string
	for _, listen := range []string{cfg.HTTP.Listen, cfg.IMAP.Listen, cfg.SMTP.Listen} {
		host, port, err := net.SplitHostPort(listen)
		if err != nil || host != "0.0.0.0" {
			t.Errorf("nobody outside the container reaches %q", listen)
		}
		ports = append(ports, port)
	}
	if expose := strings.Fields(strings.Join(last.all("EXPOSE"), " ")); !slices.Equal(expose, ports) {
		t.Errorf("EXPOSE %v, the doors are at %v", expose, ports)
	}
	if volume := last.all("VOLUME"); !slices.Equal(volume, []string{cfg.DataDir}) {
		t.Errorf("VOLUME %v, data_dir is %s", volume, cfg.DataDir)
	}
	check := last.all("HEALTHCHECK")
	if len(check) != 1 {
		t.Fatalf("%d health checks", len(check))
	}
	_, array, _ := strings.Cut(check[0], "CMD ")
	if got := command(t, words(t, array)); got != "health" {
		t.Errorf("the health check runs %q", got)
	}
	for _, s := range []*stage{last, byName["demo"]} {
		entry, cmd := s.all("ENTRYPOINT"), s.all("CMD")
		if len(entry) != 1 || len(cmd) != 1 {
			t.Fatalf("stage %s: entry points %v, commands %v", s.name, entry, cmd)
		}
		if got, want := command(t, append(words(t, entry[0]), words(t, cmd[0])...)), map[string]string{"gateway": "serve", "demo": "demo"}[s.name]; got != want {
			t.Errorf("stage %s runs %q", s.name, got)
		}
	}
}

// checkCopy checks that what a COPY names is there: in the repository, or in
// an earlier stage.
func checkCopy(t *testing.T, s *stage, earlier map[string]*stage, line string) {
	t.Helper()
	from := ""
	var paths []string
	for _, word := range strings.Fields(line) {
		if value, ok := strings.CutPrefix(word, "--from="); ok {
			from = value
		} else if !strings.HasPrefix(word, "--") {
			paths = append(paths, word)
		}
	}
	for _, source := range paths[:len(paths)-1] {
		switch {
		case from == "":
			if _, err := os.Stat(filepath.Join(repository, source)); err != nil {
				t.Errorf("stage %s copies what is not there: %v", s.name, err)
			}
		case earlier[from] == nil:
			t.Errorf("stage %s copies from %s, which no stage before it is", s.name, from)
		default:
			program := filepath.Base(source)
			if run := strings.Join(earlier[from].all("RUN"), "\n"); !strings.Contains(run, "./cmd/"+program) && !strings.Contains(run, source) {
				t.Errorf("stage %s copies %s, which %s does not make", s.name, source, from)
			}
		}
	}
}

func goVersion(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(string(raw))[1]
}

// fromEnvironment reads settings from POSTERN_ variables, each of which must be
// a setting.
func fromEnvironment(t *testing.T, env map[string]string) *config.Config {
	t.Helper()
	known := map[string]bool{}
	for _, path := range config.Paths() {
		known["POSTERN_"+strings.ToUpper(strings.ReplaceAll(path, ".", "_"))] = true
	}
	var environ []string
	for name, value := range env {
		if !known[name] {
			t.Errorf("%s sets nothing", name)
		}
		environ = append(environ, name+"="+value)
	}
	cfg, err := config.Load("", environ, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// programPorts are what compose.yaml lets in past the proxy: mail programs on
// this machine.
var programPorts = []string{"127.0.0.1:1143:1143", "127.0.0.1:1587:1587"}

// composeFile is what of compose.yaml is checked. Other keys are refused.
type composeFile struct {
	Name     string
	Services map[string]struct {
		Build struct{ Context, Target string }
		Image, Restart,
		User string
		ReadOnly    bool `yaml:"read_only"`
		Tmpfs       []string
		CapDrop     []string `yaml:"cap_drop"`
		CapAdd      []string `yaml:"cap_add"`
		SecurityOpt []string `yaml:"security_opt"`
		Environment map[string]string
		Configs     []struct{ Source, Target string }
		Secrets     []string
		Volumes     []string
		Ports       []string
		Networks    []string
		StopSignal  string        `yaml:"stop_signal"`
		StopGrace   time.Duration `yaml:"stop_grace_period"`
		Healthcheck struct {
			Test              []string
			Interval, Timeout time.Duration
			StartPeriod       time.Duration `yaml:"start_period"`
			Retries           int
		}
		DependsOn map[string]struct{ Condition string } `yaml:"depends_on"`
	}
	Networks, Volumes map[string]struct{}
	Secrets           map[string]struct{ File string }
	Configs           map[string]struct{ Content string }
}

// drain is how long a gateway may take to stop: see grace in internal/gateway.
const drain = 48 * time.Second

func TestCompose(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(repository, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// What an operator gives; ${NAME:?text} and ${NAME} are replaced as Compose
	// does. The rest are ids of applications at the providers.
	given := map[string]string{"POSTERN_HOST": "mail.example.com"}
	client := regexp.MustCompile(`^[A-Z]+_CLIENT_ID$`)
	text := regexp.MustCompile(`\$\{(\w+)(:\?[^}]*)?\}`).ReplaceAllStringFunc(string(raw), func(s string) string {
		name, _, _ := strings.Cut(strings.Trim(s, "${}"), ":")
		if client.MatchString(name) {
			return "00000000-0000-0000-0000-000000000000"
		}
		if given[name] == "" {
			t.Errorf("compose.yaml wants %s, of which nothing is said", name)
		}
		return given[name]
	})
	var f composeFile
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		t.Fatal(err)
	}
	stages, _ := readDockerfile(t)
	last := stages[len(stages)-1]
	p, proxy := f.Services["postern"], f.Services["caddy"]
	if p.Build.Target != last.name || !p.ReadOnly || !proxy.ReadOnly || !slices.Equal(p.CapDrop, []string{"ALL"}) || len(p.CapAdd) > 0 ||
		slices.ContainsFunc(p.Ports, func(port string) bool { return !slices.Contains(programPorts, port) }) {
		t.Errorf("postern: target %s, read only %v and %v, capabilities -%v +%v, ports %v", p.Build.Target, p.ReadOnly, proxy.ReadOnly, p.CapDrop, p.CapAdd, p.Ports)
	}
	if p.StopGrace <= drain || p.StopSignal != "SIGTERM" {
		t.Errorf("stopped by %s after %s, draining takes %s", p.StopSignal, p.StopGrace, drain)
	}
	if len(p.Healthcheck.Test) < 2 || p.Healthcheck.Test[0] != "CMD" || command(t, p.Healthcheck.Test[1:]) != "health" || p.Healthcheck.Timeout < healthLimit || proxy.DependsOn["postern"].Condition != "service_healthy" {
		t.Errorf("health check %+v, the proxy waits for %+v", p.Healthcheck, proxy.DependsOn)
	}
	if _, tag, _ := strings.Cut(proxy.Image, ":"); !regexp.MustCompile(`^\d+\.\d+\.\d+`).MatchString(tag) {
		t.Errorf("the proxy is %s: want a version", proxy.Image)
	}
	for name, service := range f.Services {
		for _, v := range service.Volumes {
			volume, _, _ := strings.Cut(v, ":")
			if _, ok := f.Volumes[volume]; !ok {
				t.Errorf("%s: there is no volume %s", name, volume)
			}
		}
		for _, c := range service.Configs {
			if f.Configs[c.Source].Content == "" {
				t.Errorf("%s: there is no configuration %s", name, c.Source)
			}
		}
		for _, n := range service.Networks {
			if _, ok := f.Networks[n]; !ok {
				t.Errorf("%s: there is no network %s", name, n)
			}
		}
	}
	cfg := fromEnvironment(t, p.Environment)
	if err := config.Parse([]byte(f.Configs["postern"].Content), cfg); err != nil {
		t.Fatal(err)
	}
	if err := config.Validate(cfg); err != nil || len(cfg.Providers) == 0 || cfg.PublicURL != "https://mail.example.com" {
		t.Errorf("public_url %s, %d providers, %v", cfg.PublicURL, len(cfg.Providers), err)
	}
	// Whatever is read from /run/secrets is mounted, and from a file.
	mounted := []string{cfg.MasterKey.File}
	for name, p := range cfg.Providers {
		secret, ok := strings.CutPrefix(p.Settings["client_secret"], "file:")
		if !ok || !strings.HasPrefix(name, p.Plugin) {
			t.Errorf("provider %s of plugin %s: its secret is not in a file", name, p.Plugin)
		}
		mounted = append(mounted, secret)
	}
	for _, file := range mounted {
		name, ok := strings.CutPrefix(file, "/run/secrets/")
		if !ok || !slices.Contains(p.Secrets, name) || f.Secrets[name].File == "" {
			t.Errorf("the secret %s is not mounted from a file", file)
		}
	}
	checkTemporary(t, p.Tmpfs, config.Default().HTTP.MaxBody)
	checkCaddyfile(t, f.Configs["caddy"].Content, given["POSTERN_HOST"], strings.Fields(last.all("EXPOSE")[0])[0])
}

// checkTemporary checks that files on their way in, which lie in /tmp, have room
// there: a few of the largest requests at once.
func checkTemporary(t *testing.T, mounts []string, largest int64) {
	t.Helper()
	const atOnce = 4
	for _, m := range mounts {
		size := regexp.MustCompile(`^/tmp:(?:.*,)?size=(\d+)m\b`).FindStringSubmatch(m)
		if size == nil {
			continue
		}
		if n, err := strconv.ParseInt(size[1], 10, 64); err != nil || n<<20 < atOnce*largest {
			t.Errorf("%s has no room for %d requests of http.max_body, %d bytes each", m, atOnce, largest)
		}
		return
	}
	t.Errorf("no /tmp with a size in %q, and the root is read only", mounts)
}

// TestIgnored: what an operator has in a checkout goes neither into the
// repository nor into a layer of an image.
func TestIgnored(t *testing.T) {
	for file, root := range map[string]string{".gitignore": "/", ".dockerignore": ""} {
		raw, err := os.ReadFile(filepath.Join(repository, file))
		if err != nil {
			t.Fatal(err)
		}
		var patterns []string
		for line := range strings.Lines(string(raw)) {
			patterns = append(patterns, strings.TrimSuffix(strings.TrimSpace(line), "/"))
		}
		for _, name := range []string{"secrets", "data", "backups", "master.key", "admin.key", ".env", "postern.yaml", ".demo"} {
			if !slices.Contains(patterns, root+name) {
				t.Errorf("%s does not name %s", file, root+name)
			}
		}
	}
}

// checkCaddyfile checks that the proxy stands at the public name, leads to the
// gateway's port, does not hold back events, and keeps metrics and what ails it to itself.
func checkCaddyfile(t *testing.T, text, host, port string) {
	t.Helper()
	text = regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(text, "")
	if strings.Count(text, "{") != strings.Count(text, "}") {
		t.Error("Caddyfile: the braces do not match")
	}
	for _, want := range []string{
		`(?m)^` + regexp.QuoteMeta(host) + ` \{$`,
		`(?s)reverse_proxy postern:` + port + ` \{\s+flush_interval -1\s+\}`,
		`(?m)@private path /metrics /metrics/\* /readyz$`, `(?m)respond @private 404$`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("Caddyfile lacks %s:\n%s", want, text)
		}
	}
	// Compression collects events before it sends them; headers that upgrade
	// are passed on unless somebody takes them away.
	if regexp.MustCompile(`(?m)^\s*(encode|header_up)\b`).MatchString(text) {
		t.Errorf("Caddyfile holds streams back:\n%s", text)
	}
}
