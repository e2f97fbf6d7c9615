package wire

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A Range goes from First to Last, or the other way round; 0 is "*", the
// largest number in use.
type Range struct{ First, Last uint32 }

// A Set is a sequence-set: numbers and ranges as the client wrote them.
type Set struct {
	Ranges []Range
	Saved  bool // "$", the result that SEARCH saved (RFC 9051, section 6.4.4.1)
}

// Set takes a sequence set or "$". Ten thousand members are one pass over the
// bytes and one slice.
func (a *Args) Set() (Set, error) {
	if a.Special('$') {
		return Set{Saved: true}, nil
	}
	from, members := a.i, 1
	for i := from; i < len(a.b) && a.b[i] != ' '; i++ {
		if a.b[i] == ',' {
			members++
		}
	}
	s := Set{Ranges: make([]Range, 0, members)}
	for {
		first, err := a.setNumber()
		if err != nil {
			a.i = from
			return Set{}, err
		}
		r := Range{first, first}
		if a.Special(':') {
			if r.Last, err = a.setNumber(); err != nil {
				a.i = from
				return Set{}, err
			}
		}
		s.Ranges = append(s.Ranges, r)
		if !a.Special(',') {
			return s, nil
		}
	}
}

// setNumber is a number above zero, or "*" as 0.
func (a *Args) setNumber() (uint32, error) {
	if a.Special('*') {
		return 0, nil
	}
	var n uint64
	from := a.i
	for a.i < len(a.b) && isDigit(a.b[a.i]) && n <= 1<<32 {
		n = n*10 + uint64(a.b[a.i]-'0')
		a.i++
	}
	if a.i == from || n == 0 || n >= 1<<32 {
		return 0, a.Fail("a sequence set holds numbers from 1 to 4294967295 and *")
	}
	return uint32(n), nil
}

// Resolve gives the set as ranges in order, First <= Last, none touching the
// next, with "*" as largest. Where that is 0 there is nothing for "*" to mean, and
// a range with it is left out. "559:*" holds largest even where that is below 559,
// as RFC 9051, section 9 ("seq-range") has it.
func (s Set) Resolve(largest uint32) []Range {
	rs := make([]Range, 0, len(s.Ranges))
	sorted := true
	for _, r := range s.Ranges {
		if r.First == 0 {
			r.First = largest
		}
		if r.Last == 0 {
			r.Last = largest
		}
		if r.First > r.Last {
			r.First, r.Last = r.Last, r.First
		}
		if r.First == 0 {
			continue
		}
		if n := len(rs); n > 0 && r.First < rs[n-1].First {
			sorted = false
		}
		rs = append(rs, r)
	}
	if !sorted {
		slices.SortFunc(rs, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	}
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && uint64(r.First) <= uint64(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// String is the set as it goes on the wire.
func (s Set) String() string {
	if s.Saved {
		return "$"
	}
	var b strings.Builder
	for i, r := range s.Ranges {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(setText(r.First))
		if r.Last != r.First {
			b.WriteByte(':')
			b.WriteString(setText(r.Last))
		}
	}
	return b.String()
}

func setText(n uint32) string {
	if n == 0 {
		return "*"
	}
	return strconv.FormatUint(uint64(n), 10)
}

// NewSet is the set of numbers, which must be in order, as ranges.
func NewSet(numbers []uint32) Set {
	var s Set
	for _, n := range numbers {
		if k := len(s.Ranges); k > 0 && s.Ranges[k-1].Last+1 == n {
			s.Ranges[k-1].Last = n
			continue
		}
		s.Ranges = append(s.Ranges, Range{n, n})
	}
	return s
}
