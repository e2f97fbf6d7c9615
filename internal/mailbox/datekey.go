package mailbox

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func formatDateKey(k store.DateKey) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(k.At.Unix(), 10) + " " + k.ID))
}

func parseDateKey(s string) (store.DateKey, error) {
	if s == "" {
		return store.DateKey{}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	at, id, ok := strings.Cut(string(b), " ")
	sec, perr := strconv.ParseInt(at, 10, 64)
	if err != nil || !ok || perr != nil {
		return store.DateKey{}, mail.Errorf(mail.KindInvalid, "search", "this is not a cursor of a search")
	}
	return store.DateKey{At: time.Unix(sec, 0).UTC(), ID: id}, nil
}
