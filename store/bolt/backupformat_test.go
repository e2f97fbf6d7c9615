package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/postern-mail/postern/store/bolt"
	"github.com/postern-mail/postern/store/table"
)

// TestBackupOfAnEarlierFormatIsMigrated restores the oldest sample from a
// backup as a build of its time would have made one.
func TestBackupOfAnEarlierFormatIsMigrated(t *testing.T) {
	data, holds := unpackSample(t, 1)
	var backup bytes.Buffer
	if err := bolt.Archive(&backup, bolt.Manifest{Format: 1, Epoch: 1, AllBlobs: true, Created: sampleTime}, data); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "data")
	done, err := bolt.Restore(context.Background(), sampleOptions(t, path, sampleTime), &backup, false, unsettled)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, path); got != "blobs postern.db" {
		t.Errorf("the folder has %s", got)
	}
	s := reopened(t, path)
	holds = inEpoch(holds, 1, done.Epoch)
	missing(t, holds, dumpSample(t, s))
	verified(t, s)
}

// TestBackupOfALaterFormatIsRefused, and says which version it wants.
func TestBackupOfALaterFormatIsRefused(t *testing.T) {
	data, _ := unpackSample(t, 1)
	var backup bytes.Buffer
	if err := bolt.Archive(&backup, bolt.Manifest{Format: table.Format + 1, Postern: "v9.9.9", AllBlobs: true, Created: sampleTime}, data); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "data")
	_, err := bolt.Restore(context.Background(), sampleOptions(t, path, sampleTime), &backup, false, unsettled)
	var newer *table.NewerError
	if !errors.As(err, &newer) || newer.Version != "v9.9.9" || names(t, path) != "" {
		t.Errorf("%v, left %q", err, names(t, path))
	}
}
