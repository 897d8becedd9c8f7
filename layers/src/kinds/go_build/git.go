// What stands in for git while treelay builds a program that carries its commit.
//
// The go command asks a program called git for the commit of its source, and writes what it is told
// into the program. In treelay's sandbox there is no such program, and the source is no repository:
// it is the files of a commit that treelay has checked. So this program, which the same toolchain
// compiles, is there in git's place. What it answers is what the lock pins; a question that it does
// not know is an error.
//
// It is used twice. Started with
//
//	SOURCE COMMIT TIME TAG NAME=VALUE... -- PROGRAM ARGUMENT...
//
// it becomes PROGRAM, with these variables, which finds it again as git on the search path; then it
// answers.
package main

import (
	"os"
	"strings"
	"syscall"
)

const prefix = "TREELAY_GIT_"

var facts = []string{"SOURCE", "COMMIT", "TIME", "TAG"}

func main() {
	if os.Getenv(prefix+"COMMIT") != "" {
		answer(os.Args[1:])
		return
	}
	args := os.Args[1:]
	for _, fact := range facts {
		check(os.Setenv(prefix+fact, args[0]))
		args = args[1:]
	}
	for args[0] != "--" {
		name, value, _ := strings.Cut(args[0], "=")
		check(os.Setenv(name, value))
		args = args[1:]
	}
	args = args[1:]
	folder, err := os.MkdirTemp("", "git")
	check(err)
	check(os.Symlink(os.Args[0], folder+"/git"))
	check(os.Setenv("PATH", folder))
	check(syscall.Exec(args[0], args, os.Environ()))
}

func answer(args []string) {
	source, commit := os.Getenv(prefix+"SOURCE"), os.Getenv(prefix+"COMMIT")
	time, tag := os.Getenv(prefix+"TIME"), os.Getenv(prefix+"TAG")
	question := "git " + strings.Join(args, " ")
	for len(args) > 1 && args[0] == "-c" {
		args = args[2:]
	}
	last := ""
	if len(args) > 0 {
		last = args[len(args)-1]
	}
	words := strings.Join(args, " ")
	switch {
	case words == "status --porcelain":
		// Nothing differs from the commit.
	case words == "log -1 --format=%H:%ct":
		say(commit + ":" + time)
	case words == "config extensions.objectformat":
		if len(commit) != 64 {
			os.Exit(1)
		}
		say("sha256")
	case strings.HasPrefix(words, "log ") && strings.Contains(words, " --format=format:%H %ct %D ") &&
		last == "--" && isCommit(args[len(args)-2], commit, tag):
		names := "HEAD"
		if tag != "" {
			names += ", tag: " + tag
		}
		say(commit + " " + time + " " + names)
	case words == "tag -l":
		if tag != "" {
			say(tag)
		}
	case strings.HasPrefix(words, "for-each-ref ") && strings.Contains(words, commit):
		if tag != "" {
			say("refs/tags/" + tag)
		}
	case strings.HasPrefix(words, "cat-file ") && strings.HasPrefix(last, commit+":"):
		content, err := os.ReadFile(source + "/" + last[len(commit)+1:])
		check(err)
		say(string(content))
	default:
		fail("treelay's stand-in for git has no answer to: " + question)
	}
}

// Whether a name is one of the commit: its id, the beginning of it, or the tag.
func isCommit(name, commit, tag string) bool {
	return len(name) >= 7 && strings.HasPrefix(commit, name) || tag != "" && name == "refs/tags/"+tag
}

func say(text string) {
	_, err := os.Stdout.WriteString(text)
	check(err)
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(text string) {
	os.Stderr.WriteString(text + "\n")
	os.Exit(128)
}
