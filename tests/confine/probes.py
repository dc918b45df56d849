def echo(check_input, files):
    return {"echo": check_input, "files": {k: f.read().decode() for k, f in files.items()}}
