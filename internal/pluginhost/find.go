package pluginhost

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Prefix begins the file name of every provider plugin.
const Prefix = "postern-provider-"

// namePattern is what follows Prefix. It can hold no separator, no dot and no
// option dash in front.
var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Binary is a plugin on disk.
type Binary struct {
	Name string
	Path string
	// Refused says why it will not be started; nil for a good one.
	Refused error
}

// DefaultDirs are where plugins are looked for: beside the running program,
// and in the configured folder, where there is one.
func DefaultDirs(configured string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	dirs := []string{filepath.Dir(self)}
	if configured != "" {
		dirs = append(dirs, configured)
	}
	return dirs, nil
}

// Find lists the plugins in the folders, sorted by name, the first folder
// first; also those that will be refused. A folder that is not there holds
// none.
func Find(dirs []string) ([]Binary, error) {
	var found []Binary
	seen := map[string]bool{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for plugins: %w", err)
		}
		for _, e := range entries {
			name, ok := strings.CutPrefix(e.Name(), Prefix)
			if !ok || seen[name] {
				continue
			}
			b := Binary{Name: name, Path: filepath.Join(dir, e.Name())}
			if !namePattern.MatchString(name) {
				b.Refused = errors.New("the name is not of the form " + Prefix + "[a-z0-9-]+")
			} else {
				b.Path, b.Refused = check(dir, e.Name())
				seen[name] = true
			}
			found = append(found, b)
		}
	}
	slices.SortStableFunc(found, func(a, b Binary) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// Lookup finds one plugin by its name. Errors are mail.KindMisconfigured.
func Lookup(dirs []string, name string) (Binary, error) {
	misconfigured := func(format string, args ...any) (Binary, error) {
		return Binary{}, mail.Errorf(mail.KindMisconfigured, "find plugin", format, args...)
	}
	if !namePattern.MatchString(name) {
		return misconfigured("%q is no plugin name: it must be of the form [a-z0-9-]+", name)
	}
	for _, dir := range dirs {
		path, err := check(dir, Prefix+name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return misconfigured("%s: %w", filepath.Join(dir, Prefix+name), err)
		}
		return Binary{Name: name, Path: path}, nil
	}
	return misconfigured("no %s%s in %s", Prefix, name, strings.Join(dirs, ", "))
}

// check gives the real path of a plugin, or why it is none: it must be a
// regular, executable file in dir that not everybody may write. A symbolic
// link may only lead to a file in the same folder.
func check(dir, file string) (string, error) {
	path := filepath.Join(dir, file)
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return path, err
	}
	realDir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return path, err
	}
	if real, err = filepath.Abs(real); err != nil {
		return path, err
	}
	if realDir, err = filepath.Abs(realDir); err != nil {
		return path, err
	}
	if filepath.Dir(real) != realDir {
		return path, errors.New("is a link that leads out of its folder")
	}
	info, err := os.Lstat(real)
	if err != nil {
		return path, err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return path, errors.New("is no regular file")
	case runtime.GOOS == "windows": // has no such bits
	case mode.Perm()&0o111 == 0:
		return path, errors.New("is not executable")
	case mode.Perm()&0o002 != 0:
		return path, errors.New("may be written by everybody")
	}
	return real, nil
}

// Sum gives a file's SHA-256 as it is pinned in the configuration.
func Sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// verify compares a plugin with its pin. Both sums are told: which of them is
// right is for the operator to say.
func verify(path, pin string) error {
	if pin == "" {
		return nil
	}
	sum, err := Sum(path)
	if err != nil {
		return mail.Errorf(mail.KindMisconfigured, "verify plugin", "%w", err)
	}
	if !strings.EqualFold(sum, pin) {
		return mail.Errorf(mail.KindMisconfigured, "verify plugin", "%s has SHA-256 %s, but %s is configured", path, sum, strings.ToLower(pin))
	}
	return nil
}
