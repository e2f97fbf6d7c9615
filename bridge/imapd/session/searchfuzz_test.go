package session

import (
	"errors"
	"testing"
	"time"

	"github.com/postern-mail/postern/bridge/imapd/box"
	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// FuzzSearch reads any bytes as a SEARCH: it must end with a request or with an
// error that is answered, within the bounds; and what a row answers must be the
// opposite under NOT.
func FuzzSearch(f *testing.F) {
	for _, s := range []string{
		" ALL", " RETURN (MIN COUNT SAVE) CHARSET UTF-8 OR (UNSEEN FROM \"a\") NOT 1:*,$", " UID 3:5,9 SINCE 1-Feb-1994 LARGER 7 KEYWORD x",
		" HEADER {3}\r\nX-A {0}\r\n", " CHARSET x ALL", " NOT NOT (2 DELETED) OLDER 5 SENTON \" 1-Mar-2026\"", " CHARSET ISO-2022-JP TEXT \"\x1b$BF|\x1b(B\"",
	} {
		f.Add([]byte(s))
	}
	uids := []uint32{2, 5, 9, 10}
	var messages []message
	for i, uid := range uids {
		messages = append(messages, message{seq: uint32(i + 1), uid: uid, row: box.Row{UID: uid, Deleted: i == 1, Size: int64(i * 5), Date: int64(i) * 1e9,
			Keywords: [][]string{nil, {"$seen"}, {"x"}, {"$flagged", "$seen"}}[i]}})
	}
	f.Fuzz(func(t *testing.T, args []byte) {
		req, err := parseSearch(wire.NewArgs(args), time.Unix(1e9, 0), false)
		var syntax *wire.SyntaxError
		switch {
		case errors.Is(err, errCharset) && req != nil:
			return
		case err != nil:
			if !errors.As(err, &syntax) {
				t.Fatalf("%q: %v", args, err)
			}
			return
		}
		if req.texts > maxSearchTexts {
			t.Fatalf("%d keys with a string", req.texts)
		}
		e := &searcher{s: &Session{sel: &selected{uids: uids}, saved: []uint32{5, 7, 10}}}
		rows, rest := split(req.keys)
		for _, k := range rest {
			if k.cost() == 0 {
				t.Fatalf("%q: a key that a row answers is left to the texts", args)
			}
		}
		for _, k := range rows {
			is, err := e.row(k)
			if err != nil {
				var bad badCommand
				if !errors.As(err, &bad) {
					t.Fatal(err)
				}
				continue
			}
			not, err := e.row(&criterion{op: searchNot, kids: []*criterion{k}})
			if err != nil {
				t.Fatal(err)
			}
			for i := range messages {
				if is(&messages[i]) == not(&messages[i]) {
					t.Fatalf("%q: message %d is and is not", args, i)
				}
			}
		}
	})
}
