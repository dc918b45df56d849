"""Customers and business owners with an account: roles like the others, beside the links for those without."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('governance', '0017_attestation_issues'),
    ]

    operations = [
        migrations.AlterField(
            model_name='rolebinding',
            name='role',
            field=models.CharField(choices=[('pipeline', 'Pipeline'), ('data_scientist', 'Data scientist'), ('validator', 'Validator'), ('approver', 'Approver'), ('risk_manager', 'Risk manager'), ('auditor', 'Auditor'), ('deployer', 'Deployer'), ('administrator', 'Administrator'), ('incident_manager', 'Incident manager'), ('customer', 'Customer'), ('business_owner', 'Business owner')], max_length=40),
        ),
    ]
