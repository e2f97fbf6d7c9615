package guard

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// A panic is an error, and is logged with its stack; the error's words do not
// repeat it.
func TestDo(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	err := Do(t.Context(), log, "count the sheep", func() error { panic("a wolf") }, "account", "a1")
	if !Is(fmt.Errorf("wrapped: %w", err)) || strings.Contains(err.Error(), "wolf") || !strings.Contains(err.Error(), "count the sheep") {
		t.Errorf("gave %v", err)
	}
	for _, want := range []string{"a wolf", "count the sheep", "account=a1", "TestDo"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %q: %s", want, &out)
		}
	}
	out.Reset()
	own := errors.New("no sheep")
	if err := Do(t.Context(), log, "count the sheep", func() error { return own }); err != own || Is(err) {
		t.Errorf("gave %v", err)
	}
	if err := Do(t.Context(), log, "count the sheep", func() error { return nil }); err != nil || out.Len() > 0 {
		t.Errorf("gave %v, logged %s", err, &out)
	}
}
