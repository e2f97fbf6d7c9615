package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// maxDepth is how deep parentheses of a command may nest. SEARCH nests by its
// users' filters, some tens at most.
const maxDepth = 100

// A SyntaxError says what was expected of a command and where; it is answered
// with BAD. It never repeats what the client sent.
type SyntaxError struct {
	Want string // what was expected, or what is wrong
	At   int    // the byte of the arguments
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s (at byte %d of the arguments)", e.Want, e.At)
}

// Args walks over the arguments of one command: the bytes behind the command's
// name, from the space to the last byte before CRLF, with literals inline as
// they came ("{3}\r\nabc").
//
// A method that fails returns a *SyntaxError and leaves the position where it
// is; the command is over then.
type Args struct {
	b     []byte
	i     int
	depth int
}

// NewArgs returns Args over b, which must not change while they are in use.
// Strings that the methods return are copies.
func NewArgs(b []byte) *Args { return &Args{b: b} }

// Fail is a SyntaxError at the present position, for what only the caller can
// know to be wrong.
func (a *Args) Fail(want string) error { return &SyntaxError{Want: want, At: a.i} }

// Rest is what was not read yet.
func (a *Args) Rest() []byte { return a.b[a.i:] }

// Peek is the next byte, 0 at the end.
func (a *Args) Peek() byte {
	if a.i < len(a.b) {
		return a.b[a.i]
	}
	return 0
}

// Special takes c if it is next.
func (a *Args) Special(c byte) bool {
	if a.i < len(a.b) && a.b[a.i] == c {
		a.i++
		return true
	}
	return false
}

// SP takes one space.
func (a *Args) SP() error {
	if !a.Special(' ') || a.i == len(a.b) {
		return a.Fail("a space and another argument are missing")
	}
	return nil
}

// More reports whether a space and another argument follow, and takes the space.
func (a *Args) More() bool {
	if a.i+1 < len(a.b) && a.b[a.i] == ' ' && a.b[a.i+1] != ' ' {
		a.i++
		return true
	}
	return false
}

// End takes the end of the command. Spaces before it are forgiven: old clients
// send them.
func (a *Args) End() error {
	for i := a.i; i < len(a.b); i++ {
		if a.b[i] != ' ' {
			return a.Fail("the command should end here")
		}
	}
	a.i = len(a.b)
	return nil
}

// CRLF is End.
func (a *Args) CRLF() error { return a.End() }

func (a *Args) run(is func(byte) bool) string {
	from := a.i
	for a.i < len(a.b) && is(a.b[a.i]) {
		a.i++
	}
	return string(a.b[from:a.i])
}

// Atom takes an atom: RFC 9051, section 9, "atom". A bracket that opens belongs
// to it; see Keyword.
func (a *Args) Atom() (string, error) {
	if s := a.run(isAtom); s != "" {
		return s, nil
	}
	return "", a.Fail("an atom is missing")
}

// Keyword takes a run of letters, digits, ".", "-", "_" and "=", in upper case: the
// names of FETCH items, SEARCH keys and options, which a bracket or a
// parenthesis may follow at once.
func (a *Args) Keyword() (string, error) {
	if s := a.run(isKeyword); s != "" {
		return strings.ToUpper(s), nil
	}
	return "", a.Fail("a keyword is missing")
}

// SkipAtom takes the keyword word, in any case, if it is next as a whole.
func (a *Args) SkipAtom(word string) bool {
	end := a.i + len(word)
	if end > len(a.b) || !strings.EqualFold(string(a.b[a.i:end]), word) {
		return false
	}
	if end < len(a.b) && isAtom(a.b[end]) && a.b[end] != '[' {
		return false
	}
	a.i = end
	return true
}

// Number takes a number of 32 bits.
func (a *Args) Number() (uint32, error) {
	n, err := a.number(32)
	return uint32(n), err
}

// Number64 takes a number of 63 bits.
func (a *Args) Number64() (int64, error) {
	n, err := a.number(63)
	return int64(n), err
}

func (a *Args) number(bits int) (uint64, error) {
	from := a.i
	s := a.run(isDigit)
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		a.i = from
		return 0, a.Fail("a number is missing or too large")
	}
	return n, nil
}

// String takes a string: quoted, or a literal.
func (a *Args) String() (string, error) {
	switch a.Peek() {
	case '"':
		return a.quoted()
	case '{':
		return a.literal()
	case '~':
		if a.i+1 < len(a.b) && a.b[a.i+1] == '{' {
			a.i++
			return a.literal()
		}
	}
	return "", a.Fail("a quoted string or a literal is missing")
}

// quoted takes a quoted string. Bytes above 127 are let through: clients that
// never enabled UTF-8 send them all the same.
func (a *Args) quoted() (string, error) {
	var s []byte
	for i := a.i + 1; i < len(a.b); i++ {
		switch c := a.b[i]; c {
		case '"':
			if s == nil {
				s = a.b[a.i+1 : i]
			}
			a.i = i + 1
			return string(s), nil
		case '\\':
			if s == nil {
				s = append(make([]byte, 0, i-a.i+16), a.b[a.i+1:i]...)
			}
			i++
			if i == len(a.b) || a.b[i] != '"' && a.b[i] != '\\' {
				return "", a.Fail("a backslash in a quoted string stands before a quote or a backslash")
			}
			s = append(s, a.b[i])
		case 0, '\r', '\n':
			return "", a.Fail("a quoted string holds neither NUL nor line ends")
		default:
			if s != nil {
				s = append(s, c)
			}
		}
	}
	return "", a.Fail("a quoted string does not end")
}

// literal takes "{n}", "{n+}" or "{n-}", CRLF and n bytes.
func (a *Args) literal() (string, error) {
	size, head, ok := literalHead(a.b[a.i:])
	if !ok || int64(len(a.b)-a.i-head) < size {
		return "", a.Fail("a literal is malformed")
	}
	from := a.i + head
	a.i = from + int(size)
	return string(a.b[from:a.i]), nil
}

// AString takes an astring: an atom, in which "]" may stand, or a string.
func (a *Args) AString() (string, error) {
	switch a.Peek() {
	case '"', '{':
		return a.String()
	}
	if s := a.run(isAString); s != "" {
		return s, nil
	}
	return "", a.Fail("a string is missing")
}

// NString takes a string or NIL, which is reported by ok being false.
func (a *Args) NString() (s string, ok bool, err error) {
	if a.SkipAtom("NIL") {
		return "", false, nil
	}
	s, err = a.String()
	return s, err == nil, err
}

// List takes a parenthesised list, which may be empty, and calls each at every
// member of it.
func (a *Args) List(each func() error) error {
	if !a.Special('(') {
		return a.Fail("a list in parentheses is missing")
	}
	if a.Special(')') {
		return nil
	}
	if a.depth++; a.depth > maxDepth {
		return a.Fail("parentheses nest too deep")
	}
	for {
		from := a.i
		if err := each(); err != nil {
			return err
		}
		if a.Special(')') {
			a.depth--
			return nil
		}
		if a.i == from || !a.More() {
			return a.Fail("a list in parentheses does not go on or end here")
		}
	}
}

// Enter and Leave bound the nesting of what is no List, such as SEARCH's keys.
func (a *Args) Enter() error {
	if a.depth++; a.depth > maxDepth {
		return a.Fail("it nests too deep")
	}
	return nil
}

// Leave takes one Enter back.
func (a *Args) Leave() { a.depth-- }

// Flag takes one flag: an atom, with a backslash before it or without.
func (a *Args) Flag() (string, error) {
	from := a.i
	system := a.Special('\\')
	s := a.run(isAtom)
	if s == "" {
		a.i = from
		return "", a.Fail("a flag is missing")
	}
	if system {
		s = `\` + s
	}
	return s, nil
}

// FlagList takes flags in parentheses, or the bare form that STORE knows as
// well: flags and spaces up to the end.
func (a *Args) FlagList() ([]string, error) {
	var flags []string
	one := func() error {
		f, err := a.Flag()
		flags = append(flags, f)
		return err
	}
	if a.Peek() == '(' {
		if err := a.List(one); err != nil {
			return nil, err
		}
		return flags, nil
	}
	for {
		if err := one(); err != nil {
			return nil, err
		}
		if !a.More() {
			return flags, nil
		}
	}
}

// Mailbox takes a mailbox name and decodes it: modified UTF-7 (RFC 3501,
// section 5.1.3), or UTF-8 as it is where the client enabled that (RFC 6855).
// INBOX is INBOX in any case (RFC 9051, section 5.1).
func (a *Args) Mailbox(utf8 bool) (string, error) {
	from := a.i
	s, err := a.AString()
	if err != nil {
		return "", err
	}
	name, err := MailboxName(s, utf8)
	if err != nil {
		a.i = from
		return "", a.Fail(err.Error())
	}
	return name, nil
}

// Pattern takes a mailbox pattern of LIST: a mailbox name in which the wildcards
// "*" and "%" may stand bare.
func (a *Args) Pattern(utf8 bool) (string, error) {
	from := a.i
	var s string
	var err error
	if c := a.Peek(); c == '"' || c == '{' {
		s, err = a.String()
	} else if s = a.run(isPattern); s == "" {
		err = a.Fail("a pattern is missing")
	}
	if err == nil {
		s, err = MailboxName(s, utf8)
		if err != nil {
			a.i = from
			err = a.Fail(err.Error())
		}
	}
	return s, err
}
