package wire

import (
	"strings"
	"time"
)

const (
	dateTime = "_2-Jan-2006 15:04:05 -0700"
	date     = "2-Jan-2006"
)

// DateTime takes a date-time: `"17-Jul-1996 02:44:25 -0700"`.
func (a *Args) DateTime() (time.Time, error) {
	if a.Peek() != '"' {
		return time.Time{}, a.Fail("a date and time in quotes is missing")
	}
	from := a.i
	s, err := a.quoted()
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(dateTime, s)
	if err != nil {
		a.i = from
		return time.Time{}, a.Fail("a date and time is malformed")
	}
	return t, nil
}

// Date takes a date, with quotes or without: 1-Feb-1994. It is midnight UTC.
func (a *Args) Date() (time.Time, error) {
	from := a.i
	s, err := a.AString()
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(date, strings.TrimLeft(s, " "))
	if err != nil {
		a.i = from
		return time.Time{}, a.Fail("a date is malformed")
	}
	return t, nil
}
