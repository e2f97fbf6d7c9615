package storetest

import "math"

func trimCases() []Case {
	return []Case{
		{Name: "trimming drops what was put without sync, and nothing else", Run: trimCache},
		{Name: "a blob that was put with sync stays until it is deleted", Run: trimKept},
	}
}

func (w *World) trim(limit int64) int64 {
	w.Helper()
	dropped, err := w.Store.Blobs().Trim(w.ctx(), limit)
	if err != nil {
		w.Fatalf("trim: %v", err)
	}
	return dropped
}

func (w *World) expectNoBlob(what string, b []byte) {
	w.Helper()
	_, err := w.readBlob("a1", digest(b))
	w.absent(what, err)
}

func trimCache(w *World) {
	w.settle("a1")
	small, large := noise(3_000, 1), noise(200_000, 2)
	keptSmall, keptLarge := noise(3_000, 3), noise(200_000, 4)
	put := func() {
		w.Helper()
		w.putBlob("a1", small, false)
		w.putBlob("a1", large, false)
		w.putBlob("a1", keptSmall, true)
		w.putBlob("a1", keptLarge, true)
	}
	put()
	if n := w.trim(math.MaxInt64); n != 0 {
		w.Errorf("trim dropped %d bytes below the limit", n)
	}
	w.expectBlob("a1", small)
	w.expectBlob("a1", large)
	for range 2 {
		if n := w.trim(0); n < int64(len(large)) {
			w.Errorf("trim says that it dropped %d bytes", n)
		}
		w.expectNoBlob("small blob after trimming", small)
		w.expectNoBlob("large blob after trimming", large)
		w.expectBlob("a1", keptSmall)
		w.expectBlob("a1", keptLarge)
		w.Reopen()
		w.expectNoBlob("small blob after trimming", small)
		w.expectBlob("a1", keptSmall)
		w.expectBlob("a1", keptLarge)
		put() // what was dropped can be put again
		w.expectBlob("a1", small)
		w.expectBlob("a1", large)
	}
}

func trimKept(w *World) {
	w.settle("a1")
	for i, n := range []int{3_000, 200_000} {
		first, late := noise(n, uint64(10+i)), noise(n, uint64(20+i))
		w.putBlob("a1", first, true)
		w.putBlob("a1", first, false)
		w.putBlob("a1", late, false)
		w.putBlob("a1", late, true)
		w.trim(0)
		for _, b := range [][]byte{first, late} {
			if err := w.Store.Blobs().Drop(w.ctx(), "a1", digest(b)); err != nil {
				w.Fatalf("drop: %v", err)
			}
			w.expectBlob("a1", b)
		}

		if err := w.Store.Blobs().Delete(w.ctx(), "a1", digest(first)); err != nil {
			w.Fatalf("delete: %v", err)
		}
		w.expectNoBlob("deleted blob", first)
		w.putBlob("a1", first, false)
		if err := w.Store.Blobs().Drop(w.ctx(), "a1", digest(first)); err != nil {
			w.Fatalf("drop: %v", err)
		}
		w.expectNoBlob("dropped blob", first)
		w.putBlob("a1", first, false)
		w.trim(0)
		w.expectNoBlob("blob that was put without sync after it was deleted", first)
		w.expectBlob("a1", late)
	}
}
