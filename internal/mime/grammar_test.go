package mime

import (
	"fmt"
	"strconv"
	"strings"
)

// The checks here read rows as a strict client does, by the formal syntax of
// RFC 9051, 9.

// value is a parsed value: a list, a string, a number, or NIL.
type value struct {
	list   []value
	str    string
	isList bool
	isStr  bool
	isNil  bool
	num    int64
	// gap: white space stands before it.
	gap bool
}

// readValue reads one value from the begin of s and gives the rest.
func readValue(s string) (v value, rest string, err error) {
	switch {
	case strings.HasPrefix(s, "NIL"):
		return value{isNil: true}, s[3:], nil
	case strings.HasPrefix(s, `"`):
		for i := 1; i < len(s); i++ {
			switch c := s[i]; {
			case c == '"':
				return value{isStr: true, str: v.str}, s[i+1:], nil
			case c == '\\':
				if i++; i == len(s) || (s[i] != '"' && s[i] != '\\') {
					return v, "", fmt.Errorf("an escape of nothing in %.60q", s)
				}
				v.str += string(s[i])
			case c == 0, c == '\r', c == '\n', c >= 0x80:
				return v, "", fmt.Errorf("octet %#x in a quoted string: %.60q", c, s)
			default:
				v.str += string(c)
			}
		}
		return v, "", fmt.Errorf("a string without an end: %.60q", s)
	case strings.HasPrefix(s, "{"):
		length, after, ok := strings.Cut(s[1:], "}\r\n")
		n, err := strconv.Atoi(length)
		if !ok || err != nil || n > len(after) || strings.Contains(after[:n], "\x00") {
			return v, "", fmt.Errorf("a broken literal: %.60q", s)
		}
		return value{isStr: true, str: after[:n]}, after[n:], nil
	case strings.HasPrefix(s, "("):
		v.isList = true
		for rest = s[1:]; ; {
			gap := strings.HasPrefix(rest, " ")
			if gap {
				rest = rest[1:]
			}
			if strings.HasPrefix(rest, ")") {
				if gap {
					return v, "", fmt.Errorf("a space before a parenthesis")
				}
				return v, rest[1:], nil
			}
			var item value
			if item, rest, err = readValue(rest); err != nil {
				return v, "", err
			}
			item.gap = gap
			v.list = append(v.list, item)
		}
	}
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == 0 {
		return v, "", fmt.Errorf("no value: %.60q", s)
	}
	v.num, err = strconv.ParseInt(s[:i], 10, 64)
	return v, s[i:], err
}

// readRow reads a whole row.
func readRow(row []byte) (value, error) {
	v, rest, err := readValue(string(row))
	if err == nil && rest != "" {
		err = fmt.Errorf("after the value: %.60q", rest)
	}
	if err == nil && !v.isList {
		err = fmt.Errorf("no list")
	}
	return v, err
}

func (v value) nstring() bool { return v.isNil || v.isStr }

// checkEnvelope checks body-envelope.
func checkEnvelope(v value) error {
	if !v.isList || len(v.list) != 10 {
		return fmt.Errorf("an envelope of %d", len(v.list))
	}
	for i, item := range v.list {
		if item.gap != (i > 0) {
			return fmt.Errorf("spaces of the envelope")
		}
		if i < 2 || i > 7 {
			if !item.nstring() {
				return fmt.Errorf("item %d of the envelope is no string", i)
			}
			continue
		}
		if item.isNil {
			continue
		}
		if !item.isList || len(item.list) == 0 {
			return fmt.Errorf("item %d of the envelope is no list of addresses", i)
		}
		groups := 0
		for _, a := range item.list {
			if !a.isList || len(a.list) != 4 || a.gap {
				return fmt.Errorf("an address of %d", len(a.list))
			}
			for j, s := range a.list {
				if !s.nstring() || s.gap != (j > 0) {
					return fmt.Errorf("an address with something else than strings")
				}
			}
			if a.list[3].isNil { // a group
				if a.list[2].isNil {
					groups--
				} else {
					groups++
				}
			}
			if groups < 0 || groups > 1 {
				return fmt.Errorf("groups that do not match")
			}
		}
		if groups != 0 {
			return fmt.Errorf("a group without an end")
		}
	}
	return nil
}

func checkParams(v value) error {
	if v.isNil {
		return nil
	}
	if !v.isList || len(v.list) == 0 || len(v.list)%2 != 0 {
		return fmt.Errorf("parameters of %d", len(v.list))
	}
	for i, s := range v.list {
		if !s.isStr || s.gap != (i > 0) {
			return fmt.Errorf("a parameter that is no string")
		}
	}
	return nil
}

// checkExtension checks what multiparts and others have in common.
func checkExtension(list []value) error {
	if len(list) != 3 {
		return fmt.Errorf("extension data of %d", len(list))
	}
	d := list[0]
	if !d.isNil {
		if !d.isList || len(d.list) != 2 || !d.list[0].isStr {
			return fmt.Errorf("a broken disposition")
		}
		if err := checkParams(d.list[1]); err != nil {
			return err
		}
	}
	l := list[1]
	if l.isList {
		for i, s := range l.list {
			if !s.isStr || s.gap != (i > 0) {
				return fmt.Errorf("a language that is no string")
			}
		}
		if len(l.list) == 0 {
			return fmt.Errorf("an empty list of languages")
		}
	} else if !l.nstring() {
		return fmt.Errorf("a broken language")
	}
	if !list[2].nstring() {
		return fmt.Errorf("a broken location")
	}
	return nil
}

// checkBody checks body, with all extension data or with none, and gives the
// number of each leaf with its size, in order.
func checkBody(v value, extended bool, path string, part bool, leaf func(path, kind string, octets int64)) error {
	if !v.isList || len(v.list) == 0 {
		return fmt.Errorf("%s: no body", path)
	}
	list := v.list
	if list[0].isList {
		n := 0
		for n < len(list) && list[n].isList {
			if list[n].gap {
				return fmt.Errorf("%s: a space between parts", path)
			}
			if err := checkBody(list[n], extended, join(path, n+1), true, leaf); err != nil {
				return err
			}
			n++
		}
		list = list[n:]
		if len(list) == 0 || !list[0].isStr {
			return fmt.Errorf("%s: no subtype", path)
		}
		if !extended {
			if len(list) > 1 {
				return fmt.Errorf("%s: extension data in BODY", path)
			}
			return nil
		}
		if len(list) != 5 {
			return fmt.Errorf("%s: a multipart of %d", path, len(list))
		}
		if err := checkParams(list[1]); err != nil {
			return err
		}
		return checkExtension(list[2:])
	}
	if !part {
		path = join(path, 1)
	}
	if len(list) < 7 || !list[0].isStr || !list[1].isStr || !list[3].nstring() || !list[4].nstring() || !list[5].isStr || list[6].isStr || list[6].isList {
		return fmt.Errorf("%s: broken fields", path)
	}
	for i, item := range list {
		if item.gap != (i > 0) {
			return fmt.Errorf("%s: spaces", path)
		}
	}
	if err := checkParams(list[2]); err != nil {
		return err
	}
	kind := list[0].str + "/" + list[1].str
	leaf(path, kind, list[6].num)
	rest := list[7:]
	switch {
	case kind == "message/rfc822", kind == "message/global":
		if len(rest) < 3 || rest[2].isStr || rest[2].isList {
			return fmt.Errorf("%s: a broken message", path)
		}
		if err := checkEnvelope(rest[0]); err != nil {
			return err
		}
		if err := checkBody(rest[1], extended, path, false, leaf); err != nil {
			return err
		}
		rest = rest[3:]
	case list[0].str == "text":
		if len(rest) < 1 || rest[0].isStr || rest[0].isList || rest[0].isNil {
			return fmt.Errorf("%s: no lines", path)
		}
		rest = rest[1:]
	}
	if !extended {
		if len(rest) > 0 {
			return fmt.Errorf("%s: extension data in BODY", path)
		}
		return nil
	}
	if len(rest) != 4 || !rest[0].nstring() {
		return fmt.Errorf("%s: extension data of %d", path, len(rest))
	}
	return checkExtension(rest[1:])
}

// checkRows checks everything that must be true of the rows of a message,
// whatever its bytes are.
func checkRows(r *Rows, raw string) error {
	if r.Size != int64(len(raw)) || r.Header < 0 || r.Header > r.Size {
		return fmt.Errorf("size %d, header %d of %d octets", r.Size, r.Header, len(raw))
	}
	env, err := readRow(r.Envelope)
	if err == nil {
		err = checkEnvelope(env)
	}
	if err != nil {
		return fmt.Errorf("envelope %.200q: %w", r.Envelope, err)
	}
	for _, row := range []struct {
		b        []byte
		extended bool
	}{{r.Body, false}, {r.BodyStructure, true}} {
		v, err := readRow(row.b)
		i := 0
		if err == nil {
			err = checkBody(v, row.extended, "", false, func(path, kind string, octets int64) {
				for i < len(r.Parts) && r.Parts[i].Multipart() {
					i++
				}
				if i >= len(r.Parts) || r.Parts[i].Path != path || r.Parts[i].Body.Length != octets {
					err = fmt.Errorf("part %s of %d octets is not section %d of %v", path, octets, i, r.Parts)
				}
				i++
			})
		}
		for i < len(r.Parts) && r.Parts[i].Multipart() {
			i++
		}
		if err == nil && i != len(r.Parts) {
			err = fmt.Errorf("%d sections, %d parts", len(r.Parts), i)
		}
		if err != nil {
			return fmt.Errorf("%.300q: %w", row.b, err)
		}
	}
	for _, s := range r.Parts {
		switch {
		case s.MIME.Offset < 0 || s.MIME.Length < 0 || s.Body.Offset < 0 || s.Body.Length < 0:
			return fmt.Errorf("%v is negative", s)
		case s.MIME.End() != s.Body.Offset || s.Body.End() > r.Size:
			return fmt.Errorf("%v is not inside of %d octets", s, r.Size)
		case s.Message && (s.Inner < 0 || s.Inner > s.Body.Length):
			return fmt.Errorf("%v has a header of %d", s, s.Inner)
		}
		if i := strings.LastIndexByte(s.Path, '.'); i > 0 {
			outer, ok := r.Section(s.Path[:i])
			if !ok || s.MIME.Offset < outer.MIME.Offset || s.Body.End() > outer.Body.End() {
				return fmt.Errorf("%v is not inside of %v", s, outer)
			}
		}
	}
	return nil
}
