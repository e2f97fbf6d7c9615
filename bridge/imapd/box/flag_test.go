package box

import (
	"slices"
	"strings"
	"testing"
)

func TestFlagsAndKeywords(t *testing.T) {
	for _, tt := range []struct{ keyword, flag string }{
		{"$seen", `\Seen`}, {"$draft", `\Draft`}, {"$forwarded", "$Forwarded"}, {"$mdnsent", "$MDNSent"},
		{"work", "work"}, {"red_x0020_category", "red_x0020_category"}, {"a&b-c", "a&b-c"}, {"$x", "$x"},
		{"two words", "$x=two=20words"}, {"", "$x="}, {"a]b", "$x=a=5db"}, {"50%", "$x=50=25"}, {"a=b c", "$x=a=3db=20c"},
		{"büro", "$x=b=c3=bcro"}, {"$x=20", "$x=$x=3d20"}, {`\seen`, "$x==5cseen"}, {"a\r\nb", "$x=a=0d=0ab"}, {"nul\x00", "$x=nul=00"},
	} {
		flag := FlagOf(tt.keyword)
		if flag != tt.flag {
			t.Errorf("FlagOf(%q) = %q, want %q", tt.keyword, flag, tt.flag)
		}
		for _, spelt := range []string{flag, strings.ToUpper(flag)} {
			if back, ok := KeywordOf(spelt); !ok || back != tt.keyword {
				t.Errorf("KeywordOf(%q) = %q, %v; want %q", spelt, back, ok, tt.keyword)
			}
		}
	}
	for _, flag := range []string{`\Deleted`, `\Recent`, `\Other`, ""} {
		if k, ok := KeywordOf(flag); ok {
			t.Errorf("KeywordOf(%q) = %q", flag, k)
		}
	}
	got := flagsOf([]string{"$forwarded", "$seen", "a b", "work"}, true)
	if want := []string{`\Seen`, `\Deleted`, "$Forwarded", "$x=a=20b", "work"}; !slices.Equal(got, want) {
		t.Errorf("flags %q, want %q", got, want)
	}
}

// Whatever a provider calls a keyword, its flag is an atom and stands for it.
func FuzzFlags(f *testing.F) {
	f.Add("two words")
	f.Add("$x=5c")
	f.Fuzz(func(t *testing.T, keyword string) {
		keyword = strings.ToLower(keyword)
		flag := FlagOf(keyword)
		for i := 0; i < len(flag); i++ {
			if !atomChar(flag[i]) && (i > 0 || flag[i] != '\\') {
				t.Fatalf("FlagOf(%q) = %q is no flag", keyword, flag)
			}
		}
		if back, ok := KeywordOf(flag); !ok || back != keyword {
			t.Fatalf("%q became %q and then %q", keyword, flag, back)
		}
	})
}
