package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

const (
	// lockName is the file whose lock is the right to a data folder. It is never
	// renamed and never removed: a restore gives the database's name to another
	// file, and a lock on the file that was opened before says nothing of the
	// one that has the name now.
	lockName = "postern.lock"
	// lockPoll is how often it is looked whether another process has let go.
	lockPoll = 20 * time.Millisecond
)

// errLocked says that somebody else has the lock.
var errLocked = errors.New("the folder is locked")

// folderLock is the right to a data folder.
type folderLock struct{ file *os.File }

// lockFolder takes it, and waits a moment for another process to let go. It is
// held before anything of the folder is looked at, until all of it is closed.
func lockFolder(folder string) (*folderLock, error) {
	f, err := os.OpenFile(filepath.Join(folder, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for until := time.Now().Add(lockWait); ; time.Sleep(lockPoll) {
		err := flock(f)
		if err == nil {
			return &folderLock{f}, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, errors.Join(&os.PathError{Op: "lock", Path: f.Name(), Err: err}, f.Close())
		}
		if time.Now().After(until) {
			_ = f.Close()
			return nil, &InUseError{Path: folder, PID: readPID(folder)}
		}
	}
}

// release lets go.
func (l *folderLock) release() { _ = l.file.Close() }
