package record_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// TestManyUIDsAreDecodedAsOne compares the decoder of many rows with that of
// one, also on rows of a later version, and on damaged ones.
func TestManyUIDsAreDecodedAsOne(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	want := []store.UID{
		{UID: 1, Message: "m1", Keywords: []string{"$flagged", "$seen"}, ModSeq: 3, Size: 1 << 40, Date: at},
		{UID: 2, Message: "m2", Deleted: true},
		{UID: 3, Keywords: []string{"$seen"}, Size: 5, Date: time.Date(1, 2, 3, 4, 5, 6, 7, time.UTC)},
		{UID: 7, Message: "a longer id", Keywords: []string{"$seen", "work", "ünicode"}, ModSeq: 1 << 50, Date: time.Unix(0, 0).UTC()},
		{UID: 9, Message: "m9", Date: time.Unix(-1, 999).UTC()},
	}
	many := record.NewUIDs(1)
	for i := range want {
		b, err := record.EncodeUID(&want[i])
		if err != nil {
			t.Fatal(err)
		}
		one, err := record.DecodeUID(want[i].UID, b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[i], one); diff != "" {
			t.Errorf("one by one (-want +got):\n%s", diff)
		}
		later := protowire.AppendTag(slices.Clone(b), 99, protowire.BytesType)
		later = protowire.AppendBytes(later, []byte("what nobody knows yet"))
		later = protowire.AppendTag(later, 98, protowire.Fixed64Type)
		later = protowire.AppendFixed64(later, 5)
		if err := many.Add(want[i].UID, later); err != nil {
			t.Fatal(err)
		}
		for cut := 1; cut < len(b); cut++ {
			_, errOne := record.DecodeUID(1, b[:cut])
			if errMany := record.NewUIDs(1).Add(1, b[:cut]); (errOne == nil) != (errMany == nil) {
				t.Errorf("row %d cut at %d: %v, and by the other %v", i, cut, errOne, errMany)
			}
		}
	}
	got := many.Rows()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("together (-want +got):\n%s", diff)
	}
	// They belong to the caller: what is done to one row is not seen in another.
	got[0].Keywords = append(got[0].Keywords, "mine")
	got[0].Keywords[0] = "mine"
	if diff := cmp.Diff(want[1:], got[1:]); diff != "" {
		t.Errorf("after the first was changed:\n%s", diff)
	}
}
