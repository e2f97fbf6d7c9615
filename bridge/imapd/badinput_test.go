package imapd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// TestBadInput plays what no mail program should send. Each is answered by the
// RFC and the connection goes on, unless it is a flood.
func TestBadInput(t *testing.T) {
	w := newWorld(t)
	w.letters(3)
	other := w.dial().login()
	for name, script := range map[string]string{
		"oversized command": selected + `
			C: a SEARCH ` + strings.Repeat("OR ", 400000) + `
			S: a BAD *
			C: b NOOP
			S: b OK *`,
		"oversized command of a stranger": `
			S: * OK *
			C: a LOGIN ` + strings.Repeat("x", 9000) + `
			S: a BAD *
			C: b NOOP
			S: b OK *`,
		"oversized literal, asked first": selected + `
			C: a SEARCH TEXT {1048577}
			S: a NO [TOOBIG] *
			C: b NOOP
			S: b OK *`,
		"oversized literal of a stranger": `
			S: * OK *
			C: a LOGIN {100000+}
			C: ` + strings.Repeat("y", 100000) + ` x
			S: a NO [TOOBIG] *
			C: b NOOP
			S: b OK *`,
		"literal without end": selected + `
			C: a SEARCH TEXT {99999999999999999999+}
			S: * BYE *
			X:`,
		"message of any size": selected + `
			C: a APPEND INBOX {9223372036854775807}
			S: a NO [TOOBIG] *
			C: b APPEND INBOX {1048577}
			S: b NO [TOOBIG] *
			C: c NOOP
			S: c OK *`,
		"message that would not be taken": selected + `
			C: a APPEND Nowhere {1000}
			S: a NO [TRYCREATE] *
			C: b APPEND INBOX (\Bogus) {1000}
			S: b BAD *
			C: c APPEND Nowhere {2+}
			C: hi
			S: c NO [TRYCREATE] *
			C: d NOOP
			S: d OK *`,
		"rubbish now and then": selected + strings.Repeat(`
			B: "`+strings.Repeat(`\r\n`, maxRubbish-1)+`"`+strings.Repeat(`
			S: * BAD *`, maxRubbish-1)+`
			C: b NOOP
			S: b OK *`, 2),
		"rubbish and nothing else": selected + `
			B: "` + strings.Repeat(`\r\n`, maxRubbish+9) + `"` + strings.Repeat(`
			S: * BAD *`, maxRubbish) + `
			S: * BYE *
			X:`,
		"binary rubbish": selected + `
			B: "\x00\x01\xff\xfe\r\n\x80 \x80 \x80\r\na \x00\r\nb NOOP \x00\r\nc FETCH \xff\r\n"
			S: * BAD *
			S: * BAD *
			S: a BAD *
			S: b BAD *
			S: c BAD *
			C: d NOOP
			S: d OK *`,
		"NUL in strings": loggedIn + `
			B: "a SELECT \"IN\x00BOX\"\r\nb SELECT {5+}\r\nIN\x00OX\r\nc LIST \"\" \"\x00\"\r\n"
			S: a BAD *
			S: b BAD *
			S: c BAD *
			C: d NOOP
			S: d OK *`,
		"bare CR and bare LF": loggedIn + `
			B: "a NOOP\nb NO\rOP\r\nc SELECT \"IN\rBOX\"\r\n"
			S: a OK *
			S: b BAD *
			S: c BAD *
			C: d NOOP
			S: d OK *`,
		"rubbish behind IDLE": selected + `
			B: "a IDLE\r\nb SELECT INBOX\r\nc IDLE\r\nDONE\r\nd NOOP\r\n"
			S: + idling
			S: a BAD *
			S: + idling
			S: c OK *
			S: d OK *`,
		"IDLE ended in another way": selected + `
			B: "a IDLE\r\n"
			S: + idling
			B: "done\r\nb IDLE\r\n"
			S: a OK *
			S: + idling
			B: "` + strings.Repeat("z", 5000) + `\r\nc NOOP\r\n"
			S: b BAD *
			S: c OK *`,
		"UTF-7 that is none": loggedIn + `
			C: a SELECT "&"
			S: a BAD *
			C: b CREATE "&AGEAYg-"
			S: b BAD *
			C: c LIST "" "&2D0-*"
			S: c BAD *
			C: d STATUS "&zzzz" (MESSAGES)
			S: d BAD *
			C: e RENAME INBOX "&AOk-&AOk-"
			S: e BAD *
			C: f APPEND "&AOk" {2+}
			C: hi
			S: f BAD *
			C: g NOOP
			S: g OK *`,
		"arguments that are none": selected + `
			C: a FETCH
			S: a BAD *
			C: b FETCH 0 FLAGS
			S: b BAD *
			C: c FETCH 1:2:3 FLAGS
			S: c BAD *
			C: d STORE 1 FLAGS (\Seen
			S: d BAD *
			C: e UID
			S: e BAD *
			C: f UID LOGOUT
			S: f BAD *
			C: g LOGOUT now
			S: g BAD *
			C: h SELECT
			S: h BAD *
			C: i LIST "" ` + strings.Repeat("(", 500) + `
			S: i BAD *
			C: j SELECT INBOX (CONDSTORE)
			S: j BAD *
			C: k STATUS INBOX (FOO)
			S: k BAD *
			C: l APPEND INBOX
			S: l BAD *
			C: m COPY 1
			S: m BAD *
			C: n FETCH 1 (BODY[HEADER.FIELDS (])
			S: n BAD *
			C: o NOOP
			S: o OK *`,
		"many append at once": selected + `
			C: a APPEND INBOX (\Bogus) {2+}
			C: hi
			S: ...
			S: a *
			C: b APPEND INBOX "not a date" {2+}
			C: hi
			S: b BAD *
			C: c APPEND INBOX {2+}
			C: hi {5+}
			C: again
			S: ...
			S: c *
			C: d NOOP
			S: d OK *`,
		"tags of all kinds": loggedIn + `
			C: T NOOP
			S: T OK *
			C: T] NOOP
			S: T] OK *
			C: . SELECT INBOX
			S: ...
			S: . OK *
			C: + NOOP
			S: * BAD *
			C: ` + strings.Repeat("t", 200) + ` NOOP
			S: * BAD *
			C: a NOOP
			S: a OK *`,
		"a browser": `
			B: "GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n"
			S: ...
			S: * BYE *
			X:`,
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			if err := run(w.dial(), script, w.letters); err != nil {
				t.Error(clip(err.Error()))
			}
			other.ok("n NOOP")
		})
	}
}

// TestNames takes every character through CREATE, LIST and DELETE, in modified
// UTF-7 and in UTF-8.
func TestNames(t *testing.T) {
	w := newWorld(t)
	w.run()
	var names []string
	for c := rune(' '); c < 0x7f; c++ {
		if c != '/' && c != '*' && c != '%' {
			names = append(names, "a"+string(c)+"b")
		}
	}
	names = append(names, "Entwürfe", "日本語", "😀", "a\u0301", "&-", "&AOk-", `"\`, "\u200f", strings.Repeat("ü", 60))
	if testing.Short() {
		names = names[len(names)-12:]
	}
	seven, eight := w.dial().login(), w.dial().login()
	eight.ok("e ENABLE UTF8=ACCEPT")
	for _, name := range names {
		quoted := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
		got := seven.do("a CREATE " + quoted(wire.EncodeUTF7(name)))
		if last := got[len(got)-1]; !strings.HasPrefix(last, "a OK") {
			t.Errorf("CREATE %q: %s", name, last)
			continue
		}
		for p, want := range map[*peer]string{seven: wire.EncodeUTF7(name), eight: name} {
			list := p.ok("b LIST \"\" " + quoted(want))
			if !listed(list, want) {
				t.Errorf("LIST of %q says %q", name, list)
			}
		}
		literal := fmt.Sprintf("{%d+}\r\n%s", len(name), name)
		eight.ok("c STATUS " + literal + " (MESSAGES)")
		eight.ok("d DELETE " + literal)
	}
}

// listed finds a name in LIST responses, whichever way it is written.
func listed(lines []string, name string) bool {
	for _, line := range lines {
		at := strings.Index(line, `"/" `)
		if at < 0 {
			continue
		}
		if got, err := wire.NewArgs([]byte(line[at+4:])).AString(); err == nil && got == name {
			return true
		}
	}
	return false
}
