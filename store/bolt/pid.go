package bolt

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// pidName is the file that tells who holds the data folder. What holds it is a
// lock (lock.go); this is only for the message.
const pidName = "postern.pid"

// InUseError says that another process holds the data folder.
type InUseError struct {
	Path string
	// PID is 0 where it could not be found out.
	PID int
}

// Error names the holder.
func (e *InUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("the data folder %s is in use by another process", e.Path)
	}
	return fmt.Sprintf("the data folder %s is in use by process %d", e.Path, e.PID)
}

func readPID(folder string) int {
	b, err := os.ReadFile(filepath.Join(folder, pidName))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 1 {
		return 0
	}
	return pid
}

type pidFile struct{ path string }

func writePID(folder string) (*pidFile, error) {
	p := &pidFile{filepath.Join(folder, pidName)}
	tmp := p.path + ".new"
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp, p.path); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *pidFile) remove() { _ = os.Remove(p.path) }
