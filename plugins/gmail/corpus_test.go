package gmail_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/postern-mail/postern/internal/plugintest"
	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// TestRealMailComesBackAsItWas stores real messages and reads them again, to the
// byte.
func TestRealMailComesBackAsItWas(t *testing.T) {
	files := plugintest.Corpus(t)
	w := connected(t, unlimited)
	w.conf.Settings["quota_units"] = "10000000"
	w.configure()
	ids := make([]string, len(files))
	originals := map[string][]byte{}
	var g errgroup.Group
	g.SetLimit(4)
	raws := make([][]byte, len(files))
	for i, path := range files {
		g.Go(func() error {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			raws[i] = raw
			resp, err := w.p.Append(t.Context(), &provider.AppendRequest{
				Call: w.call(), OperationID: fmt.Sprintf("corpus-%d", i), Mailbox: "INBOX", Size: int64(len(raw)),
			}, bytes.NewReader(raw))
			if err != nil {
				return fmt.Errorf("append %s: %w", filepath.Base(path), err)
			}
			ids[i] = resp.Message.ProviderID
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		originals[id] = raws[i]
	}
	if len(originals) != len(files) {
		t.Fatalf("%d messages of %d files", len(originals), len(files))
	}
	got := w.fetch(provider.FetchRaw, ids...)
	for i, id := range ids {
		if !bytes.Equal(got.Raws[id], originals[id]) {
			t.Errorf("%s: %d octets come back of %d, or others", filepath.Base(files[i]), len(got.Raws[id]), len(originals[id]))
		}
	}
	if known := w.fetch(provider.FetchMetadata, ids...); len(known.Messages) != len(files) {
		t.Errorf("metadata of %d messages of %d", len(known.Messages), len(files))
	}
	if r := w.report().Refusals; len(r) > 0 {
		t.Errorf("requests were refused: %v", r)
	}
}

// unlimited lets spend as many units as one likes; what may run at once stays.
func unlimited(o *sandbox.Options) {
	q := &o.GoogleSettings.Mail.Quota
	q.UserUnits, q.ProjectUnits, q.DailyUnits = -1, -1, -1
}
