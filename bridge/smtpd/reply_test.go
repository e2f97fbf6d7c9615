package smtpd

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// TestKinds: every kind of error has its answer, which README.md tells, and no
// answer tells more than the words that are for people.
func TestKinds(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	must(t, err)
	for kind, k := range kinds {
		row := fmt.Sprintf("| %d %d.%d.%d", k.code, k.enhanced[0], k.enhanced[1], k.enhanced[2])
		if !strings.Contains(string(readme), row) {
			t.Errorf("README.md has no row for %s: %s", kind, row)
		}
		if k.code/100 != k.enhanced[0] {
			t.Errorf("%s is answered by %d and %v", kind, k.code, k.enhanced)
		}
	}
	err = &mail.Error{Kind: mail.KindForbidden, Op: "send", Code: "E1", Message: "not\r\n250 from yoü " + strings.Repeat("x", 1000), Err: errors.New("a secret")}
	if got := reply(fmt.Errorf("wrapped: %w", err)); got.Code != 550 || !strings.HasPrefix(got.Message, "not  250 from yo? x") || len(got.Message) > 450 {
		t.Errorf("%+v", got)
	}
	if got := reply(errors.New("a secret")); got.Code != 451 || strings.Contains(got.Message, "secret") {
		t.Errorf("%+v", got)
	}
	for kind, code := range map[mail.Kind]int{mail.KindUnauthorized: 535, mail.KindForbidden: 535, mail.KindGrantExpired: 454, mail.KindThrottled: 454, mail.KindUnavailable: 454, mail.KindInternal: 454} {
		if got := loginReply(&mail.Error{Kind: kind}); got.Code != code || got.EnhancedCode[0] != code/100 {
			t.Errorf("%s at a login: %+v", kind, got)
		}
	}
}
