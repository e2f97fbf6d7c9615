package textindex

import (
	"strings"
	"unicode/utf8"
)

// Sizes of the hashed world. A posting is one number: the gram's hash above the
// message's place in its segment, so that sorting numbers makes the index.
const (
	gramBits    = 20
	docBits     = 32 - gramBits
	maxDocs     = 1 << docBits
	maxPostings = 4 << 20 // 16 MiB while a segment is built

	// maxQueryGrams bounds how many groups a query reads in a segment.
	maxQueryGrams = 12
	// ideographs: from here on a pair of runes tells as much as a triple of
	// letters, and words are often no longer (CJK radicals and what follows).
	ideographs = 0x2E80
)

// eachGram gives the hashes of a folded text's trigrams of runes, and of its
// pairs in which an ideograph is. Bytes that are no UTF-8 count as U+FFFD, in
// texts as in queries.
func eachGram(text string, gram func(uint32)) {
	var a, b rune = -1, -1
	for i := 0; i < len(text); {
		c, n := rune(text[i]), 1
		if c >= utf8.RuneSelf {
			c, n = utf8.DecodeRuneInString(text[i:])
		}
		i += n
		if b >= 0 {
			if a >= 0 {
				gram(hash(a, b, c))
			}
			if b >= ideographs || c >= ideographs {
				gram(hash(0x1FFFFF, b, c))
			}
		}
		a, b = b, c
	}
}

func hash(a, b, c rune) uint32 {
	v := uint64(a)<<42 | uint64(b)<<21 | uint64(c)
	v ^= v >> 31
	v *= 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio: Fibonacci hashing
	v ^= v >> 29
	v *= 0xBF58476D1CE4E5B9
	return uint32(v >> (64 - gramBits))
}

// queryGrams gives the grams that every text has in which the folded needle
// is, some of them where there are many. None: the needle is too short. Line
// ends are left out: how an extract keeps them is its own affair.
func queryGrams(needle string) []uint32 {
	var all []uint32
	seen := map[uint32]bool{}
	for _, run := range strings.FieldsFunc(needle, func(r rune) bool { return r < ' ' }) {
		eachGram(run, func(g uint32) {
			if !seen[g] {
				seen[g] = true
				all = append(all, g)
			}
		})
	}
	if len(all) <= maxQueryGrams {
		return all
	}
	some := make([]uint32, 0, maxQueryGrams)
	for i := range maxQueryGrams {
		some = append(some, all[i*(len(all)-1)/(maxQueryGrams-1)])
	}
	return some
}
