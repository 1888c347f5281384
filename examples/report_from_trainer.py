"""A training script of your own that reports to tuneyard: python report_from_trainer.py MODEL FOLDER

The key is that of `tuneyard auth login`, or in TUNEYARD_API_KEY; the API is where TUNEYARD_API_URL says.
"""

import os
import socket
import sys

from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

from tuneyard import Client
from tuneyard.hf import TuneyardCallback
from tuneyard.shapes import Claim, JobEnd, NewJob

model_name, folder = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(model_name)
rows = [tokenizer(f"The answer to {n} is {n + 1}.") for n in range(16)]
rows = [{"input_ids": row["input_ids"][:8], "labels": row["input_ids"][:8]} for row in rows]

with Client.from_env() as desk:
    job = desk.jobs.create(NewJob(name="my own script", model=model_name))
    claimed = desk.jobs.claim(job.id, Claim(host=socket.gethostname(), pid=os.getpid()))
    with Client(desk.base_url, job_token=claimed.job_token) as client:
        callback = TuneyardCallback(client, job.id, f"{folder}/tuneyard")
        trainer = Trainer(
            AutoModelForCausalLM.from_pretrained(model_name),
            TrainingArguments(
                folder, max_steps=20, logging_steps=1, use_cpu=True, report_to=[], save_strategy="no"
            ),
            train_dataset=rows,
            eval_dataset=rows,
            callbacks=[callback],
        )
        trainer.train()
        trainer.evaluate()
    desk.jobs.end(job.id, JobEnd(status="cancelled" if callback.stop_reason else "completed"))
sys.stdout.write(f"{job.id}\n")
