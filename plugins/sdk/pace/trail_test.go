package pace

import (
	"errors"
	"strconv"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

func TestTrailTellsWaysWithoutAnEnd(t *testing.T) {
	code := func(err error) string {
		var e *mail.Error
		if errors.As(err, &e) && e.Kind == mail.KindUnavailable && e.Op == "list" {
			return e.Code
		}
		return ""
	}
	var circle Trail
	for _, link := range []string{"a", "b"} {
		if err := circle.Follow("list", link, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := circle.Follow("list", "a", 1); code(err) != "link_loop" {
		t.Errorf("a circle: %v", err)
	}
	var empty Trail
	for i := range maxEmpty {
		if err := empty.Follow("list", strconv.Itoa(i), 0); err != nil {
			t.Fatalf("page %d: %v", i, err)
		}
	}
	if err := empty.Follow("list", "full", 1); err != nil {
		t.Fatal("a page with an entry:", err)
	}
	for i := range maxEmpty + 1 {
		if err := empty.Follow("list", "again "+strconv.Itoa(i), 0); (err != nil) != (i == maxEmpty) || err != nil && code(err) != "no_end" {
			t.Fatalf("page %d: %v", i, err)
		}
	}
}
