package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// here reports whether every command of a client is on PATH.
func (c *client) here() bool {
	return !slices.ContainsFunc(c.commands, func(command string) bool {
		_, err := exec.LookPath(command)
		return err != nil
	})
}

// install says what the clients need, and installs what is missing once it may.
// It gives the folder of npm's modules.
func install(ctx context.Context, chosen []client, yes bool) (modules string, err error) {
	var packages, wanted, missingModules []string
	for _, c := range chosen {
		wanted = append(wanted, c.packages...)
		if !c.here() {
			packages = append(packages, c.packages...)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	modules = filepath.Join(cache, "postern-test-clients")
	for _, c := range chosen {
		for _, m := range c.modules {
			name, version, _ := strings.Cut(m, "@")
			if b, err := os.ReadFile(filepath.Join(modules, "node_modules", name, "package.json")); err != nil || !strings.Contains(string(b), `"version": "`+version+`"`) {
				missingModules = append(missingModules, m)
			}
		}
	}
	// Some need the same one.
	packages, wanted = distinct(packages), distinct(wanted)
	fmt.Println("packages:", strings.Join(wanted, " "))
	if len(packages) == 0 && len(missingModules) == 0 {
		return modules, nil
	}
	var lines [][]string
	if len(packages) > 0 {
		lines = append(lines, append([]string{"apt-get", "install", "-y", "--no-install-recommends"}, packages...))
	}
	if len(missingModules) > 0 {
		lines = append(lines, append([]string{"npm", "install", "--no-fund", "--no-audit", "--prefix", modules}, missingModules...))
	}
	fmt.Println("missing; to be installed by:")
	for _, l := range lines {
		fmt.Println("  " + strings.Join(l, " "))
	}
	if len(packages) > 0 && os.Geteuid() != 0 {
		return "", fmt.Errorf("%w: run the line of apt-get as root, or leave programs out with SKIP=", errNotInstalled)
	}
	if !yes && !confirmed() {
		return "", fmt.Errorf("%w: nothing was installed; say yes, or YES=1", errNotInstalled)
	}
	if len(packages) > 0 {
		lines = append([][]string{{"apt-get", "update", "-qq"}}, lines...)
	}
	if err := os.MkdirAll(modules, 0o755); err != nil {
		return "", err
	}
	for _, l := range lines {
		cmd := exec.CommandContext(ctx, l[0], l[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(l, " "), err, out)
		}
	}
	return modules, nil
}

// distinct drops what stands there a second time.
func distinct(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func confirmed() bool {
	fmt.Print("install them? [y/N] ")
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true
	}
	return false
}
