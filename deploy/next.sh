# For deploy.sh and roll.sh: a release brought to the head of a cluster that runs, in ~/next, beside what runs there.

# The wheel in the folder $2, to the head of cluster $1.
bring_next() {
    ray exec "$1" 'rm -rf ~/next && mkdir -p ~/next/dist'
    ray rsync-up "$1" "$2/" next/dist/
}

# Its migrations as a dry run, with the new code and the libraries that are there. A start applies them.
show_migrations() {
    ray exec "$1" '~/venv/bin/python -m pip install --quiet --no-deps --no-index --target ~/next/lib ~/next/dist/canfleet-*.whl &&
        PYTHONPATH=~/next/lib ~/venv/bin/python -m canfleet schema --config ~/release/canfleet.yaml'
}
