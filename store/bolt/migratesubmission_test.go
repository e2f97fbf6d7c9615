package bolt_test

import (
	"strings"
	"testing"
)

// Format 1 did not say which blobs must stay: the migration finds out.
func TestMigrationKeepsWhatIsStillToBeSent(t *testing.T) {
	data, _ := unpackSample(t, 1)
	s := openSample(t, data)
	defer s.Close()
	kept, err := s.BlobKept("aone", strings.Repeat("cd", 32))
	if err != nil || !kept {
		t.Errorf("the bytes of an open submission are kept: %t, %v", kept, err)
	}
	kept, err = s.BlobKept("aone", strings.Repeat("ab", 32))
	if err != nil || kept {
		t.Errorf("bytes that no submission names are kept: %t, %v", kept, err)
	}
}
