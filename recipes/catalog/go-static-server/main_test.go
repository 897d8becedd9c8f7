package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"
)

func TestAnswers(t *testing.T) {
	files := http.FileServerFS(fstest.MapFS{"a.txt": {Data: []byte("a")}})
	for _, c := range []struct {
		path string
		want int
	}{{"/healthz", 200}, {"/a.txt", 200}, {"/b.txt", 404}, {"/../a.txt", 307}} {
		answer := httptest.NewRecorder()
		request := httptest.NewRequest("GET", "http://here/", nil)
		request.URL.Path = c.path
		handler(files, 10).ServeHTTP(answer, request)
		if answer.Code != c.want {
			t.Errorf("%s: %d, not %d", c.path, answer.Code, c.want)
		}
	}
}

func TestLimit(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	limited := handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(begun)
		<-end
	}), 1)
	ask := func() int {
		answer := httptest.NewRecorder()
		limited.ServeHTTP(answer, httptest.NewRequest("GET", "/x", nil))
		return answer.Code
	}
	first := make(chan int)
	go func() { first <- ask() }()
	<-begun
	if code := ask(); code != http.StatusServiceUnavailable {
		t.Errorf("%d while the only slot was taken", code)
	}
	close(end)
	if code := <-first; code != http.StatusOK {
		t.Errorf("%d in the slot", code)
	}
}
