package session

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/textindex"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Every key of RFC 9051, 6.4.4, and those of RFC 3501 that it left out.
func TestSearchKeys(t *testing.T) {
	c := searchClient(t, searchInbox())
	for key, want := range map[string]string{
		"ALL": "1 2 3 4 5", "SEEN": "1", "UNSEEN": "2 3 4 5", "FLAGGED": "2", "UNFLAGGED": "1 3 4 5", "ANSWERED": "3", "UNANSWERED": "1 2 4 5",
		"DELETED": "5", "UNDELETED": "1 2 3 4", "DRAFT": "", "UNDRAFT": "1 2 3 4 5", "KEYWORD Project-X": "3", "UNKEYWORD project-x": "1 2 4 5",
		"KEYWORD none": "", "RECENT": "", "NEW": "", "OLD": "1 2 3 4 5",
		"2,4:*": "2 4 5", "*": "5", "UID 2:3": "2 3", "UID 900:*": "5", "UID 77": "", "4:2 UNSEEN": "2 3 4", "1,1,1": "1",
		"ON 2-Mar-2026": "2 3", "SINCE 3-Mar-2026": "4 5", `BEFORE "2-Mar-2026"`: "1", "SENTON 28-Feb-2026": "2", "SENTON 1-Mar-2026": "1",
		"SENTSINCE 2-Mar-2026": "4 5", "SENTBEFORE 1-Mar-2026": "2", "NOT SENTBEFORE 1-Mar-2026": "1 3 4 5",
		"LARGER 1000": "5", "SMALLER 1000": "1 2 3 4", "OLDER 7819200": "1 2 3", "YOUNGER 7819200": "4 5",
		// RFC 5032, section 3: the second itself is in both.
		"OLDER 7905600": "1 2", "OLDER 7905601": "1", "YOUNGER 7905600": "2 3 4 5", "YOUNGER 7905599": "3 4 5",
		"SUBJECT invoice": "1", "SUBJECT voic": "1", "FROM BOB": "1 3 5", "FROM carol@example.org": "2", "TO everybody": "3", "CC dave": "2", "BCC ann": "",
		"BODY voic": "1", "TEXT voic": "1", `BODY "invoice."`: "1", "BODY subject": "", `TEXT "GRÜSSE"`: "", `TEXT "GRÜßE"`: "2", "BODY {5}\r\nköln": "2",
		`TEXT "請求"`: "3", `SUBJECT "größe"`: "2", `SUBJECT "GRÖßE"`: "2", "TEXT eve@": "4", "BODY dark": "", "SUBJECT here": "4",
		`HEADER X-Spam-Level "**"`: "2", `HEADER X-Spam-Level ""`: "2", `HEADER x-empty ""`: "3", `HEADER X-None ""`: "", `HEADER Message-ID "@example.net>"`: "1 2 3 4 5",
		`SUBJECT ""`: "1 2 3 4 5", `BODY ""`: "1 2 3 5", `TEXT ""`: "1 2 3 4 5", `CC ""`: "2",
		"OR SEEN FLAGGED": "1 2", `OR (SUBJECT last) (FROM carol SUBJECT "größe")`: "2 5", "NOT (FROM bob)": "2 4", "NOT NOT SEEN": "1",
		"(UNSEEN) (FROM bob (SINCE 4-Mar-2026))": "5", `OR OR SEEN DELETED TEXT "発注"`: "1 3 5", "NOT OR SEEN TEXT bob": "2 4", "NOT BODY invoice UNSEEN": "2 3 4 5",
		`CHARSET UTF-8 TEXT "köln"`: "2", "CHARSET ISO-8859-1 TEXT \"k\xf6ln\"": "2", "CHARSET koi8-r ALL": "1 2 3 4 5", "charset us-ascii seen": "1",
		"CHARSET SHIFT_JIS SUBJECT \"\x90\xbf\x8b\x81\"": "3",
	} {
		got := c.ask("SEARCH "+key, false, false)
		if want := "* SEARCH" + strings.TrimRight(" "+want, " ") + "\nOK"; got != want {
			t.Errorf("SEARCH %q: %q, want %q", key, got, want)
		}
	}
}

// What is no SEARCH is BAD, a charset that is not known is NO with those that
// are, and neither ends anything.
func TestSearchRefused(t *testing.T) {
	c := searchClient(t, searchInbox()[:1])
	for _, key := range []string{
		"", " ", " FROM", " FROM bob@", " OLDEST", " X-GM-RAW a", " MODSEQ 1", " FUZZY SUBJECT a", " RETURN (RELEVANCY) ALL", " RETURN ALL ALL",
		" RETURN (ALL)", " (ALL", " ALL)", " ()", " NOT", " OR ALL", " SINCE 1-Foo-2026", " SINCE yesterday", " LARGER many", " LARGER -1", " YOUNGER 0",
		" 0", " 2", " 1:", " UID", " UID x", " KEYWORD", " KEYWORD (a)", " HEADER X", " CHARSET", " CHARSET UTF-8", " CHARSET UTF-8 TEXT \"\xff\"", " TEXT \"\xe9\"",
		" ALL  ALL", " CHARSET ISO-2022-JP TEXT \"\x1b$B\x7f\x7f\"", strings.Repeat(" NOT", 200) + " ALL", strings.Repeat(" (", 200), strings.Repeat(" ALL", 6000),
		strings.Repeat(" TEXT a", 1001),
	} {
		got := c.ask("SEARCH"+key, false, false)
		if key == " FROM bob@" {
			if got != "* SEARCH 1\nOK" {
				t.Errorf("SEARCH%s: %s", key, got)
			}
		} else if got != "BAD" {
			t.Errorf("SEARCH%.40q: %q, want BAD", key, got)
		}
	}
	for _, charset := range []string{"X-UNKNOWN", "UTF-7", `""`} {
		if got := c.ask("SEARCH CHARSET "+charset+" ALL", false, false); got != "NO ["+badCharset+"]" {
			t.Errorf("charset %s: %s", charset, got)
		}
	}
	if got := c.ask("SEARCH CHARSET ISO-8859-1 ALL", false, true); got != "BAD" {
		t.Errorf("a charset with UTF-8 enabled: %s", got)
	}
	if got := c.ask("SEARCH CHARSET ISO-8859-1 ALL", true, true); got != "* ESEARCH (TAG \"a1\") ALL 1\nOK" {
		t.Errorf("a charset with IMAP4rev2 enabled: %s", got)
	}
	if got := c.ask("SEARCH CHARSET UTF-8 ALL", false, true); got != "* SEARCH 1\nOK" {
		t.Errorf("UTF-8 with UTF-8 enabled: %s", got)
	}
}

func TestSearchReturn(t *testing.T) {
	c := searchClient(t, searchInbox())
	c.answers(`
		C: SEARCH RETURN (MIN COUNT) UNSEEN
		S: * ESEARCH (TAG "a1") MIN 2 COUNT 4
		S: OK
		C: SEARCH RETURN (MIN MAX COUNT ALL) UNSEEN
		S: * ESEARCH (TAG "a1") MIN 2 MAX 5 ALL 2:5 COUNT 4
		S: OK
		C: UID SEARCH RETURN () FROM bob
		S: * ESEARCH (TAG "a1") UID ALL 1,3,5
		S: OK
		C: UID SEARCH RETURN (COUNT ALL MIN) SUBJECT nothing
		S: * ESEARCH (TAG "a1") UID COUNT 0
		S: OK
		C: SEARCH RETURN (MAX) CHARSET UTF-8 TEXT "請求"
		S: * ESEARCH (TAG "a1") MAX 3
		S: OK
		C: UID SEARCH 2:3
		S: * SEARCH 2 3
		S: OK`, false)
	c.answers(`
		C: SEARCH UNSEEN
		S: * ESEARCH (TAG "a1") ALL 2:5
		S: OK
		C: UID SEARCH SEEN FLAGGED
		S: * ESEARCH (TAG "a1") UID
		S: OK`, true)
}

// RFC 9051, 6.4.4.1.
func TestSearchSaved(t *testing.T) {
	c := searchClient(t, searchInbox())
	c.answers(`
		C: SEARCH $
		S: * SEARCH
		S: OK
		C: SEARCH RETURN (SAVE) FROM bob
		S: OK
		C: SEARCH $
		S: * SEARCH 1 3 5
		S: OK
		C: UID SEARCH UID $ UNSEEN
		S: * SEARCH 3 5
		S: OK
		C: SEARCH RETURN (SAVE) $ DELETED
		S: OK
		C: SEARCH OR $ SEEN
		S: * SEARCH 1 5
		S: OK
		C: SEARCH RETURN (SAVE MIN) UNSEEN
		S: * ESEARCH (TAG "a1") MIN 2
		S: OK
		C: SEARCH $
		S: * SEARCH 2
		S: OK
		C: SEARCH RETURN (SAVE MIN MAX) UNSEEN
		S: * ESEARCH (TAG "a1") MIN 2 MAX 5
		S: OK
		C: SEARCH $
		S: * SEARCH 2 5
		S: OK
		C: SEARCH RETURN (SAVE MAX COUNT) 1:3
		S: * ESEARCH (TAG "a1") MAX 3 COUNT 3
		S: OK
		C: SEARCH $
		S: * SEARCH 1 2 3
		S: OK
		C: SEARCH RETURN (SAVE) WHAT
		S: BAD
		C: SEARCH $
		S: * SEARCH 1 2 3
		S: OK
		C: SEARCH RETURN (SAVE) CHARSET X-NONE ALL
		S: NO [`+badCharset+`]
		C: SEARCH $
		S: * SEARCH
		S: OK`, false)
	// What is expunged leaves the saved result, and numbers follow.
	c.answers(`
		C: SEARCH RETURN (SAVE) 1:5
		S: OK`, false)
	c.do("UID STORE 2 +FLAGS.SILENT (\\Deleted)")
	if got := c.do("UID EXPUNGE 2"); !strings.HasSuffix(got, "OK") {
		t.Fatal(got)
	}
	c.answers(`
		C: UID SEARCH $
		S: * SEARCH 1 3 4 5
		S: OK
		C: SEARCH $
		S: * SEARCH 1 2 3 4
		S: OK`, false)
	if got := c.do("FETCH $ (UID)"); !strings.Contains(got, "* 4 FETCH (UID 5)") {
		t.Errorf("FETCH $: %s", got)
	}
}

// failing is an index that is out of order.
type failing struct{ noTexts }

func (failing) Search(context.Context, string, textindex.Query, []string) ([]textindex.Result, error) {
	return nil, mail.Errorf(mail.KindInternal, "search", "out of order")
}

// A SEARCH that is answered NO leaves nothing saved.
func TestSearchFails(t *testing.T) {
	c := searchClient(t, searchInbox()[:2])
	c.answers(`
		C: SEARCH RETURN (SAVE) ALL
		S: OK`, false)
	c.w.server.opts.Text = failing{}
	c.answers(`
		C: SEARCH TEXT a
		S: NO [SERVERBUG]
		C: SEARCH $
		S: * SEARCH 1 2
		S: OK
		C: SEARCH RETURN (SAVE) TEXT a
		S: NO [SERVERBUG]
		C: SEARCH $
		S: * SEARCH
		S: OK`, false)
	c.w.server.opts.Text = nil
	c.answers(`
		C: SEARCH SUBJECT invoice
		S: * SEARCH 1
		S: OK
		C: SEARCH SENTON 28-Feb-2026
		S: * SEARCH 1
		S: OK`, false)
}

// A client that leaves ends its SEARCH, though only the index of the mailbox is
// looked at.
func TestSearchEndsWithTheClient(t *testing.T) {
	c := searchClient(t, searchInbox()[:2])
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if found, err := c.s.find(ctx, &criterion{op: searchAll}); !errors.Is(err, context.Canceled) {
		t.Errorf("it found %d messages, %v", len(found), err)
	}
}

// outdated is an index that holds what messages said before.
type outdated struct{ says textindex.Result }

func (o outdated) Search(_ context.Context, _ string, _ textindex.Query, messages []string) ([]textindex.Result, error) {
	return slices.Repeat([]textindex.Result{o.says}, len(messages)), nil
}

func (outdated) Fields(_ context.Context, _, _ string, messages []string) ([]textindex.Field, error) {
	return slices.Repeat([]textindex.Field{{Here: true, Values: []string{"1 jan 1999 00:00 +0000"}}}, len(messages)), nil
}

// A draft that was changed has no bytes until somebody reads it: what the
// provider told of it now counts, not what the index remembers.
func TestSearchRenewed(t *testing.T) {
	c := searchClient(t, searchInbox()[:2])
	all, err := c.s.resolve(wire.Set{Ranges: []wire.Range{{First: 1, Last: 0}}}, false)
	c.w.must(err)
	e := &searcher{ctx: t.Context(), s: c.s, messages: all}
	subject := &criterion{op: searchHeader, field: "subject", text: "invoice"}
	sent := &criterion{op: searchSent, day: time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC)}
	for _, says := range []textindex.Result{textindex.No, textindex.Yes} {
		c.w.server.opts.Text = outdated{says: says}
		for i := range all {
			all[i].row.Size = 100
		}
		got, err := e.eval(subject, []int32{0, 1})
		c.w.must(err)
		if len(got) != 2*int(says) {
			t.Errorf("with bytes, and an index that says %v: found %v", says, got)
		}
		if got, err = e.eval(sent, []int32{0, 1}); err != nil || len(got) != 0 {
			t.Errorf("with bytes, sent: found %v, %v", got, err)
		}
		for i := range all {
			all[i].row.Size = 0
		}
		if got, err = e.eval(subject, []int32{0, 1}); err != nil || !slices.Equal(got, []int32{0}) {
			t.Errorf("without bytes, and an index that says %v: found %v, %v", says, got, err)
		}
		if got, err = e.eval(sent, []int32{0, 1}); err != nil || len(got) != 2 {
			t.Errorf("without bytes, sent: found %v, %v", got, err)
		}
	}
}

// What size a message has whose bytes are not here nobody knows: it is neither
// larger nor smaller than anything.
func TestSearchUnsized(t *testing.T) {
	e := &searcher{ctx: t.Context(), messages: make([]message, 2)}
	e.messages[1].row.Size = 100
	for _, c := range []*criterion{{op: searchSmaller, size: 101}, {op: searchLarger, size: 99}} {
		if got, err := e.eval(c, []int32{0, 1}); err != nil || !slices.Equal(got, []int32{1}) {
			t.Errorf("%d: found %v, %v", c.op, got, err)
		}
	}
}

func TestSearchEmptyMailbox(t *testing.T) {
	c := searchClient(t, nil)
	c.answers(`
		C: SEARCH ALL
		S: * SEARCH
		S: OK
		C: SEARCH UID 1:*
		S: * SEARCH
		S: OK
		C: SEARCH RETURN (COUNT MIN) TEXT a
		S: * ESEARCH (TAG "a1") COUNT 0
		S: OK
		C: SEARCH 1
		S: BAD`, false)
}
